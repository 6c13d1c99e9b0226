/**
 * Reading a stream from an index on, by a pull consumer of this reader alone; any trouble ends it.
 *
 * @module
 */

import type { JetStreamManager } from "@nats-io/jetstream";
import type { Msg, Subscription } from "@nats-io/nats-core";
import { cancelled } from "../errors.ts";
import { IdleTimer, onAbort } from "../async/mod.ts";
import { type Delivered, delivered } from "./entry.ts";
import { Interrupted } from "./errors.ts";
import type { JetStreamConnection } from "./connection.ts";
import { nats as packages } from "./nats.ts";

/** Messages of one request. */
const BATCH = 1024;
/** Bytes of one request; more, if a single message may be so large. */
const BATCH_BYTES = 8 * 1024 * 1024;
/** The time that the server waits for messages before it says that there are none, in milliseconds. */
const EXPIRES = 20_000;
/** The interval of its heartbeats meanwhile, in milliseconds. */
const HEARTBEAT = 1000;
/** After this silence the server is taken for gone, in milliseconds. */
const SILENCE = 3000;
/** The time that the server keeps a consumer without requests, in milliseconds. */
const INACTIVE = 60_000;
const NANOS = 1_000_000;

/** The messages that a {@linkcode StreamConsumer} reads. */
export interface ConsumerOptions {
  /** The first one; by default the first of the stream. */
  readonly from?: bigint;
  /** The subjects; by default all. */
  readonly filter?: string;
  /** True to leave out their payloads. */
  readonly headersOnly?: boolean;
  /** True to wait for messages that are yet to come. */
  readonly waits?: boolean;
}

/** A consumer, and the messages that came. Those of two requests are held at the most. */
export class StreamConsumer {
  /** The number of messages that it had to deliver when it was made. */
  readonly pending: number;
  readonly #connection: JetStreamConnection;
  readonly #stream: string;
  readonly #name: string;
  readonly #waits: boolean;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #unlisten: () => void;
  #queue: Delivered[] = [];
  /** The number of requested messages that are yet to come. */
  #wanted = 0;
  #failure: unknown;
  /** True once a request ended with nothing more to come. */
  #idle = false;
  #wake: (() => void) | undefined;

  private constructor(connection: JetStreamConnection, stream: string, name: string, pending: number, waits: boolean) {
    this.#waits = waits;
    this.pending = pending;
    const { nats } = connection;
    this.#connection = connection;
    this.#stream = stream;
    this.#name = name;
    this.#inbox = packages().core.createInbox();
    this.#subscription = nats.subscribe(this.#inbox, {
      callback: (error, message) => error === null ? this.#take(message) : this.#fail(error),
    });
    this.#unlisten = connection.listen((event) => {
      if (event.type !== "refused") this.#fail(new Interrupted(`the connection is ${event.type}`));
      else if (`${event.error.message}`.includes(this.#inbox)) this.#fail(event.error);
    });
  }

  /**
   * Makes a consumer.
   *
   * @param connection the connection
   * @param manager makes it
   * @param stream the name of the stream
   * @param options the messages to read
   */
  static async open(
    connection: JetStreamConnection,
    manager: JetStreamManager,
    stream: string,
    options: ConsumerOptions,
  ): Promise<StreamConsumer> {
    const { from, filter, headersOnly = false, waits = true } = options;
    const { AckPolicy, DeliverPolicy } = packages().jetstream;
    const { name, num_pending } = await manager.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      ...(from === undefined
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Number(from) }),
      ...(filter !== undefined && { filter_subject: filter }),
      ...(headersOnly && { headers_only: true }),
      inactive_threshold: INACTIVE * NANOS,
      mem_storage: true,
      num_replicas: 1,
    });
    return new StreamConsumer(connection, stream, name, num_pending, waits);
  }

  /**
   * Returns the messages that came since the last call; waits for one.
   *
   * @param signal cancels the wait
   * @returns messages in order; an empty list if the server has none for now
   * @throws if the consumer, or the connection, is gone
   */
  async next(signal: AbortSignal): Promise<readonly Delivered[]> {
    for (;;) {
      if (signal.aborted) throw cancelled(signal);
      const taken = this.#queue;
      this.#queue = [];
      if (this.#failure === undefined && this.#wanted <= 0) this.#ask(); // so that more come while these are applied
      if (taken.length > 0) return taken;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#idle) {
        this.#idle = false;
        return taken;
      }
      await this.#news(signal);
    }
  }

  /** Ends it. */
  close(): void {
    this.#unlisten();
    this.#queue = [];
    if (this.#connection.nats.isClosed()) return;
    this.#subscription.unsubscribe();
    // Not awaited: if it does not arrive, the server removes the inactive consumer by itself.
    if (!this.#connection.nats.isDraining()) {
      this.#connection.nats.publish(`$JS.API.CONSUMER.DELETE.${this.#stream}.${this.#name}`);
    }
  }

  #ask(): void {
    const { nats } = this.#connection;
    const largest = nats.info?.max_payload ?? 0;
    const request = {
      batch: BATCH,
      max_bytes: Math.max(BATCH_BYTES, 2 * largest),
      ...(this.#waits ? { expires: EXPIRES * NANOS, idle_heartbeat: HEARTBEAT * NANOS } : { no_wait: true }),
    };
    nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${this.#name}`, JSON.stringify(request), {
      reply: this.#inbox,
    });
    this.#wanted = BATCH;
  }

  /** Waits for a message or a failure; too long a silence is a failure. */
  async #news(signal: AbortSignal): Promise<void> {
    let unlink = () => {};
    const silence = new IdleTimer(SILENCE, () => this.#fail(new Interrupted("the server is silent")));
    try {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        unlink = onAbort(signal, () => resolve());
        silence.resume();
      });
    } finally {
      silence.pause();
      unlink();
      this.#wake = undefined;
    }
  }

  #take(message: Msg): void {
    if (message.reply?.startsWith("$JS.ACK.")) {
      this.#wanted--;
      this.#queue.push(delivered(message));
    } else {
      this.#note(message.headers?.code ?? 0, message);
    }
    this.#wake?.();
  }

  /** Handles a status message of a request. */
  #note(code: number, { headers }: Msg): void {
    if (code === 100) return; // it is still there
    const text = (headers?.description ?? "").toLowerCase();
    // From 2.10 on: all messages of a request were sent. By then the next request may have been made.
    if (code === 409 && text.includes("batch completed")) return;
    const ended = code === 404 || code === 408 || (code === 409 && text.includes("maxbytes"));
    if (!ended) return this.#fail(new Interrupted(`the server says ${code} ${text}`));
    const left = headers?.get("Nats-Pending-Messages") ?? "";
    if (left !== "" && Number(left) !== this.#wanted) return this.#fail(new Interrupted("a message did not arrive"));
    this.#wanted = 0;
    this.#idle ||= code !== 409;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
