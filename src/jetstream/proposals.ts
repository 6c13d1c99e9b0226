/**
 * Appending to a stream exactly once, however many attempts it takes.
 *
 * @module
 */

import type { JetStreamManager } from "@nats-io/jetstream";
import type { Subscription } from "@nats-io/nats-core";
import { checkIndex, checkOptions, checkSignal } from "../checks.ts";
import { cancelled, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { Entry, type LogEntry } from "../state/mod.ts";
import { headersOf, MESSAGE_ID, type Received, TERM } from "./entry.ts";
import { acknowledged, Interrupted, isNoMessage, isSilent, isWrongSequence, passes, wrap } from "./errors.ts";
import type { JetStreamConnection } from "./connection.ts";
import { type Backoff, backoff, onAbort, Semaphore } from "../async/mod.ts";
import type { LogStream } from "./log_stream.ts";
import { type LogProposeOptions, ownContent } from "../log/mod.ts";
import { nats } from "./nats.ts";

/** Messages in flight at once. */
const IN_FLIGHT = 1024;
/** The longest wait for an acknowledgement before the message is sent again, in milliseconds. */
const ACK_TIMEOUT = 5000;
/** The interval at which messages are checked for that, in milliseconds. */
const LOOK = 100;
/** The pause before a retry where no server answers: the first one, and the longest, in milliseconds. */
const RETRY: Backoff = { first: 20, longest: 1000 };
const STREAM = "Nats-Expected-Stream";
const LAST = "Nats-Expected-Last-Sequence";

/** A message in flight. */
interface Pending {
  /** The time after which no acknowledgement is expected any more. */
  due: number;
  /** Its index, once that is known. */
  index: bigint | undefined;
  /** Ends an attempt, with the reason if it failed. */
  settle: (error?: unknown) => void;
}

/**
 * Sends entries. Each has an id, by which the server recognizes one that it has already, within the stream's
 * `duplicate_window`. An entry is sent again for half of that time only: no message may be in flight for longer than
 * the other half.
 */
export class Proposals {
  readonly #connection: JetStreamConnection;
  readonly #manager: JetStreamManager;
  readonly #stream: LogStream;
  readonly #session: string = crypto.randomUUID();
  /** The messages in flight, by the number in their ids; the inbox subject of the acknowledgement ends with it too. */
  readonly #pending = new Map<string, Pending>();
  readonly #semaphore = new Semaphore(IN_FLIGHT);
  readonly #inbox: string = nats().core.createInbox();
  readonly #acknowledgements: Subscription;
  readonly #unlisten: () => void;
  #count = 0;
  #looking: ReturnType<typeof setInterval> | undefined;
  #closed: SnapshotError | undefined;

  /**
   * @param connection the connection
   * @param manager reads what is in the stream
   * @param stream the stream to append to
   */
  constructor(connection: JetStreamConnection, manager: JetStreamManager, stream: LogStream) {
    this.#connection = connection;
    this.#manager = manager;
    this.#stream = stream;
    this.#acknowledgements = connection.nats.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error !== null) return this.#settleAll(error);
        const pending = this.#pending.get(message.subject.slice(this.#inbox.length + 1));
        if (pending !== undefined) settle(pending, acknowledged(message));
      },
    });
    this.#unlisten = connection.listen((event) => {
      // Messages sent before the connection broke may be lost: their acknowledgements are not waited for.
      if (event.type === "up") this.#settleAll(new Interrupted("the connection broke"));
      if (event.type === "refused" && event.error.message.includes(`"${stream.subject}"`)) this.#settleAll(event.error);
      if (event.type === "down" && connection.nats.isClosed()) this.#settleAll(new Error("connection closed"));
    });
  }

  /** Sends an entry: see {@linkcode SharedLog.propose}. Returns it with the id of its message. */
  async propose(
    proposed: Pick<LogEntry, "data" | "configuration">,
    options: LogProposeOptions = {},
  ): Promise<Received> {
    const entry = ownContent(proposed, "entry"); // it may be sent later, and several times
    checkOptions(options, { expectedLastIndex: checkIndex, signal: checkSignal });
    throwIfCancelled(options.signal);
    this.#check(entry);
    const waiting = this.#semaphore.take(options.signal);
    if (waiting !== undefined) await waiting;
    try {
      const key = String(++this.#count);
      const index = await this.#send(key, entry, options);
      return { entry: new Entry(index, TERM, entry.data, entry.time, entry.configuration), id: this.#idOf(key) };
    } finally {
      this.#semaphore.leave();
    }
  }

  /** Notes that a message was read from the stream: if it is one of these, it was appended. */
  seen(id: string, index: bigint): void {
    if (this.#pending.size === 0 || !id.startsWith(this.#session)) return;
    const pending = this.#pending.get(id.slice(this.#session.length + 1));
    if (pending !== undefined) settle(pending, index);
  }

  /** Fails the messages in flight, and ends. */
  close(): void {
    this.#closed ??= new SnapshotError("CLOSED", "The log was closed");
    this.#unlisten();
    clearInterval(this.#looking);
    this.#settleAll(this.#closed);
    if (!this.#connection.nats.isClosed()) this.#acknowledgements.unsubscribe();
  }

  #check({ data }: Pick<LogEntry, "data">): void {
    if (this.#closed !== undefined) throw this.#closed;
    const most = this.#most();
    if (data.length > most) throw this.#tooLarge(data.length, most);
  }

  #most(): number {
    return Math.min(this.#connection.nats.info?.max_payload ?? Infinity, this.#stream.maxMessage);
  }

  #tooLarge(actual: number, expected: number, cause?: unknown): SnapshotError {
    return new SnapshotError(
      "MALFORMED",
      `A command of ${actual} bytes is too large: with its headers it may have ${expected} (max_payload of the ` +
        `server, max_msg_size of the stream ${this.#stream.name})`,
      { expected, actual, source: this.#stream.name, ...(cause !== undefined && { cause }) },
    );
  }

  #idOf(key: string): string {
    return `${this.#session}.${key}`;
  }

  /** Sends a message until it is known to be appended, or refused, or for too long. */
  async #send(
    key: string,
    entry: Pick<LogEntry, "data" | "configuration">,
    options: LogProposeOptions,
  ): Promise<bigint> {
    const pending: Pending = { due: 0, index: undefined, settle: () => {} };
    const deadline = performance.now() + this.#stream.duplicateWindow / 2;
    let uncertain = false;
    this.#pending.set(key, pending);
    this.#looking ??= setInterval(() => this.#look(), LOOK);
    try {
      for (let attempt = 0;; attempt++) {
        let cause: unknown;
        try {
          pending.due = Math.min(performance.now() + ACK_TIMEOUT, deadline);
          await this.#attempt(key, pending, entry, options);
        } catch (error) {
          cause = error;
        }
        if (pending.index !== undefined) return pending.index;
        // Servers from 2.10 on look at the condition before the id: they refuse what they have already.
        const isOwn = uncertain && isWrongSequence(cause) ? await this.#isOwn(key, options) : false;
        if (pending.index !== undefined) return pending.index;
        if (isOwn === true) return options.expectedLastIndex! + 1n;
        uncertain ||= !isSilent(cause);
        if (options.signal?.aborted || this.#closed !== undefined) throw cause;
        if (isOwn === false && !passes(cause)) throw this.#refused(cause, entry);
        const wait = backoff(attempt, RETRY);
        if (performance.now() + wait >= deadline) throw this.#unknown(uncertain, cause);
        if (!(cause instanceof Interrupted)) await this.#connection.pause(wait, options.signal);
        if (pending.index !== undefined) return pending.index; // it was heard of meanwhile
      }
    } finally {
      this.#pending.delete(key);
      if (this.#pending.size === 0) {
        clearInterval(this.#looking);
        this.#looking = undefined;
      }
    }
  }

  /** Sends a message, and waits until it is settled. */
  #attempt(
    key: string,
    pending: Pending,
    { data, configuration }: Pick<LogEntry, "data" | "configuration">,
    { expectedLastIndex, signal }: LogProposeOptions,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw this.#closed;
      throwIfCancelled(signal);
      pending.settle = (error) => {
        pending.settle = () => {};
        unlink();
        if (error === undefined) resolve();
        else reject(error);
      };
      const unlink = onAbort(signal, () => pending.settle(cancelled(signal!)));
      const headers = headersOf(configuration);
      headers.set(MESSAGE_ID, this.#idOf(key));
      headers.set(STREAM, this.#stream.name);
      if (expectedLastIndex !== undefined) headers.set(LAST, String(expectedLastIndex));
      try {
        this.#connection.nats.publish(this.#stream.subject, data, { headers, reply: `${this.#inbox}.${key}` });
      } catch (error) {
        pending.settle(error);
      }
    });
  }

  /**
   * Reports whether the entry that took the place after the expected one is the one that was sent before; nothing if
   * that is not known now.
   */
  async #isOwn(key: string, { expectedLastIndex, signal }: LogProposeOptions): Promise<boolean | undefined> {
    const { name } = this.#stream;
    const get = () => this.#manager.streams.getMessage(name, { seq: Number(expectedLastIndex! + 1n) });
    try {
      const found = await this.#connection.ask(get, signal, false);
      return found === null ? undefined : found.header.get(MESSAGE_ID) === this.#idOf(key);
    } catch (error) {
      if (isNoMessage(error) || passes(error)) return undefined; // it is still being copied, or was purged
      throw wrap(error, "read", name);
    }
  }

  /** Ends the attempts that were not acknowledged in time. */
  #look(): void {
    const now = performance.now();
    for (const pending of this.#pending.values()) {
      if (pending.due <= now) pending.settle(new DOMException("no acknowledgement came", "TimeoutError"));
    }
  }

  #refused(error: unknown, { data }: Pick<LogEntry, "data">): SnapshotError {
    if (/max_payload size exceeded|message size exceeds/.test(messageOf(error))) {
      return this.#tooLarge(data.length, this.#most(), error);
    }
    return wrap(error, "append to", this.#stream.name);
  }

  #unknown(uncertain: boolean, cause: unknown): SnapshotError {
    const { name, duplicateWindow } = this.#stream;
    const what = `No server acknowledged an entry for the stream ${name} within ${duplicateWindow / 2} ms`;
    return uncertain
      ? new SnapshotError(
        "TIMEOUT",
        `${what}. It may have been appended all the same: look before proposing it again`,
        {
          source: name,
          cause,
        },
      )
      : new SnapshotError("UNAVAILABLE", `${what}. It was not appended`, { source: name, cause });
  }

  #settleAll(error: unknown): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
  }
}

function settle(pending: Pending, outcome: bigint | Error): void {
  if (typeof outcome === "bigint") {
    pending.index = outcome;
    pending.settle();
  } else {
    pending.settle(outcome);
  }
}
