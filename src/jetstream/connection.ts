/**
 * A connection to NATS that may break and come back.
 *
 * @module
 */

import type { NatsConnection, Status } from "@nats-io/nats-core";
import { able } from "../checks.ts";
import { pause, raceAbort } from "../async/mod.ts";
import { Interrupted } from "./errors.ts";

/** Checks a connection. */
export function checkConnection(value: unknown, what: string): void {
  able("a NatsConnection", "publish", "subscribe", "request", "status")(value, what);
}

/** A change of a connection. */
export type LinkEvent =
  /** It broke. */
  | { readonly type: "down" }
  /** It is there again. */
  | { readonly type: "up" }
  /** The server did not permit something; the error says what. */
  | { readonly type: "refused"; readonly error: Error };

/** A connection that tells its listeners when it broke, and when it is there again. */
export class JetStreamConnection {
  /** The connection. */
  readonly nats: NatsConnection;
  readonly #statuses: AsyncIterable<Status> & { stop?(): void };
  readonly #listeners = new Set<(event: LinkEvent) => unknown>();
  readonly #watching: Promise<void>;
  #down = false;

  /** @param nats a connection; stays the caller's */
  constructor(nats: NatsConnection) {
    this.nats = nats;
    this.#statuses = nats.status();
    this.#watching = this.#watch();
  }

  /**
   * Calls back at each change.
   *
   * @returns stops the calls
   */
  listen(listener: (event: LinkEvent) => unknown): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Waits before a retry; ends early when the connection is there again. */
  async pause(duration: number, signal: AbortSignal | undefined): Promise<void> {
    let unlisten = () => {};
    const up = new Promise<void>((resolve) => unlisten = this.listen(({ type }) => type === "up" && resolve()));
    try {
      await pause(duration, signal, up);
    } finally {
      unlisten();
    }
  }

  /**
   * Makes a request to the server. It fails when the connection breaks, since a request from before that gets no
   * answer.
   *
   * @param question makes the request
   * @param signal cancels it
   * @param waits whether to wait for a connection that is broken
   */
  async ask<T>(question: () => Promise<T>, signal: AbortSignal | undefined, waits = true): Promise<T> {
    let unlisten = () => {};
    const change = (type: LinkEvent["type"]) =>
      new Promise<void>((resolve) => unlisten = this.listen((event) => event.type === type && resolve()));
    try {
      if (this.#down && !this.nats.isClosed()) {
        if (!waits) throw new Interrupted("there is no connection");
        await raceAbort(change("up"), signal);
      }
      unlisten();
      const broken = change("down").then(() => {
        throw new Interrupted("the connection broke");
      });
      return await raceAbort(Promise.race([question(), broken]), signal);
    } finally {
      unlisten();
    }
  }

  /** Stops watching the connection. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#statuses.stop?.();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    for await (const status of this.#statuses) {
      const event = eventOf(status);
      if (event?.type === "up") this.#down = false;
      if (event?.type === "down") this.#down = true;
      if (event === undefined) continue;
      for (const listener of [...this.#listeners]) listener(event);
    }
  }
}

function eventOf(status: Status): LinkEvent | undefined {
  switch (status.type) {
    case "reconnect":
      return { type: "up" };
    case "disconnect":
    case "close":
      return { type: "down" };
    case "error":
      return { type: "refused", error: status.error };
  }
  return undefined;
}
