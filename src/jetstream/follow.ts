/**
 * The entries of a stream, in order and each once, across broken connections.
 *
 * @module
 */

import type { JetStreamManager } from "@nats-io/jetstream";
import { cancelled, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type Backoff, backoff } from "../async/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { StreamConsumer } from "./consumer.ts";
import { type Delivered, entryOf, type Received } from "./entry.ts";
import { Interrupted, isNoConsumerLeft, isNoMessage, isNoStream, passes, wrap } from "./errors.ts";
import type { JetStreamConnection } from "./connection.ts";
import type { StreamBounds } from "./log_stream.ts";
import { purged } from "../log/mod.ts";

/** The pause after an interruption: the first one, and the longest, in milliseconds. */
const RETRY: Backoff = { first: 50, longest: 5000 };
/** The time that a stream may be gone, or shorter than it was, before that counts: servers start. In milliseconds. */
const PATIENCE = 10_000;
/** The same while as many consumers as are allowed read: longer than one counts whose reader was lost. */
const CONSUMER_PATIENCE = 90_000;

/** The surroundings of a {@linkcode followStream}. */
export interface FollowContext {
  /** The connection. */
  readonly connection: JetStreamConnection;
  /** Looks at the stream, and makes consumers. */
  readonly manager: JetStreamManager;
  /** The name of the stream. */
  readonly stream: string;
  /** Reads the stream's bounds; throws if the stream is not fit to be read. */
  bounds(): Promise<StreamBounds>;
  /** Called with each entry before it is yielded. */
  received(received: Received): void;
}

/** Says that the next entry was not delivered. */
const MISSING = Symbol("missing");

/** Thrown when the stream ends before an entry that it once had. */
class Shortened extends Error {}

/**
 * Yields the entries from an index on, also those that are yet to come.
 *
 * @throws {SnapshotError} as {@linkcode SharedLog.follow}; `CORRUPT` if the stream has a hole, or is another one than
 *   before; `MALFORMED` if there is a message that is no entry
 */
export async function* followStream(
  context: FollowContext,
  from: bigint,
  signal: AbortSignal,
): AsyncGenerator<readonly LogEntry[], void, undefined> {
  const reading = new Reading(context, from);
  let trouble = 0;
  let doubtSince: number | undefined;
  for (;;) {
    throwIfCancelled(signal);
    try {
      for await (const entries of reading.read(signal)) {
        trouble = 0;
        doubtSince = undefined;
        if (entries.length > 0) yield entries;
      }
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      const isFull = isNoConsumerLeft(error);
      const suspect = error instanceof Shortened || isNoStream(error) || isFull;
      if (suspect) doubtSince ??= performance.now();
      const patience = isFull ? CONSUMER_PATIENCE : PATIENCE;
      const waits = suspect ? performance.now() - doubtSince! < patience : passes(error);
      if (!waits) {
        throw error instanceof Shortened ? reading.rewritten(error.message) : wrap(error, "read", context.stream);
      }
    }
    await context.connection.pause(backoff(trouble++, RETRY), signal);
  }
}

/** The state of a reader, kept from one consumer to the next. */
class Reading {
  readonly #context: FollowContext;
  #next: bigint;
  /** The id of the entry before the next, if it was read here. */
  #lastId: string | undefined;

  constructor(context: FollowContext, from: bigint) {
    this.#context = context;
    this.#next = from;
  }

  /** Reads by one consumer until something breaks; an empty list says that there is nothing for now. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly LogEntry[], void, undefined> {
    const { first, last } = await this.#look(signal);
    // The entry before is read once more, to check that it is still the same.
    const from = this.#lastId !== undefined && first < this.#next ? this.#next - 1n : this.#next;
    const consumer = await this.#open(from, signal);
    try {
      if (consumer.pending === 0 && this.#next <= last) throw await this.#missing(signal);
      for (;;) {
        const batch = await consumer.next(signal);
        if (batch.length === 0 && (await this.#look(signal)).last >= this.#next) {
          throw await this.#missing(signal);
        }
        const { entries, failure } = this.#check(batch);
        yield entries;
        const ends = batch.at(-1)?.pending === 0 && this.#next <= last; // before the end that the stream had
        if (failure === MISSING || (failure === undefined && ends)) throw await this.#missing(signal);
        if (failure !== undefined) throw failure;
      }
    } finally {
      consumer.close();
    }
  }

  /** The error for a stream that is another one than before, or lost entries. */
  rewritten(what: string): SnapshotError {
    return new SnapshotError(
      "CORRUPT",
      `The stream ${this.#context.stream} ${what}: it lost entries that it had acknowledged, or is another one. ` +
        `Replicas may differ from here on; restore the stream, or begin a new one from a snapshot`,
      { index: this.#next - 1n, source: this.#context.stream },
    );
  }

  async #open(from: bigint, signal: AbortSignal): Promise<StreamConsumer> {
    const { connection, manager, stream } = this.#context;
    let opening: Promise<StreamConsumer> | undefined;
    try {
      return await connection.ask(() => opening = StreamConsumer.open(connection, manager, stream, { from }), signal);
    } catch (error) {
      opening?.then((late) => late.close()).catch(() => {});
      throw error;
    }
  }

  async #look(signal: AbortSignal): Promise<StreamBounds> {
    const bounds = await this.#context.connection.ask(() => this.#context.bounds(), signal);
    if (this.#next < bounds.first) throw purged(this.#next, bounds.first);
    if (bounds.last < this.#next - 1n) throw new Shortened(`ends with ${bounds.last}, and had ${this.#next - 1n}`);
    return bounds;
  }

  /** The entries of a batch, up to the first that is not as expected. */
  #check(batch: readonly Delivered[]): { readonly entries: readonly LogEntry[]; readonly failure?: unknown } {
    const { stream } = this.#context;
    const entries: LogEntry[] = [];
    for (const message of batch) {
      try {
        if (message.sequence > this.#next) return { entries, failure: MISSING };
        const received = entryOf(message, stream);
        if (message.sequence < this.#next) {
          if (message.sequence === this.#next - 1n && received.id !== this.#lastId) {
            throw this.rewritten(`has another entry ${message.sequence} than before`);
          }
          continue;
        }
        this.#context.received(received);
        entries.push(received.entry);
        this.#lastId = received.id;
        this.#next++;
      } catch (failure) {
        return { entries, failure };
      }
    }
    return { entries };
  }

  /** Finds out why the next entry was not delivered, and returns the error for it. */
  async #missing(signal: AbortSignal): Promise<unknown> {
    const { connection, manager, stream } = this.#context;
    await this.#look(signal); // throws if it was purged
    try {
      const seq = Number(this.#next);
      const found = await connection.ask(() => manager.streams.getMessage(stream, { seq }), signal);
      if (found !== null) return new Interrupted("a message was not delivered");
    } catch (error) {
      if (!isNoMessage(error)) return error;
    }
    await this.#look(signal); // it may have been purged in between
    return new SnapshotError(
      "CORRUPT",
      `Entry ${this.#next} is missing in the stream ${stream}, though those around it are there: somebody deleted ` +
        `it. Install a snapshot that has it from another replica`,
      { index: this.#next, source: stream },
    );
  }
}
