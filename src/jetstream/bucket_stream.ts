/**
 * The stream of a bucket: its messages are written and read here.
 *
 * @module
 */

import type { JetStreamClient, JetStreamManager, StoredMsg, StreamInfo } from "@nats-io/jetstream";
import type { MsgHdrs, NatsConnection } from "@nats-io/nats-core";
import { SnapshotError } from "../errors.ts";
import { StreamConsumer } from "./consumer.ts";
import type { Delivered } from "./entry.ts";
import { isNameInUse, isNoMessage, isNoStream, isSilent, isWrongSequence, wrap } from "./errors.ts";
import { JetStreamConnection } from "./connection.ts";
import { loadNats, nats as packages } from "./nats.ts";
import { opened } from "./opening.ts";

/**
 * The first servers of which several heed a condition. Those before look at it before they agree on a message, and not
 * when it is stored: of two puts on the same condition both may be acknowledged, and the first is lost
 * (nats-server issue 4320).
 */
const HEEDING: readonly [number, number] = [2, 10];
/** Bytes of a message that are left for its headers. */
export const HEADROOM = 4096;
/** The bytes that a message may have at least: its headers, and some for a part of an object. */
const LEAST_MESSAGE = HEADROOM + 512;

/** The subjects of a bucket. The stream keeps the last message of each. */
export interface BucketSubjects {
  /** The objects: size and chunks of each, and its bytes if they are few. */
  readonly objects: string;
  /** The bytes of objects, in chunks. */
  readonly chunks: string;
  /** The intents of puts and deletes, by which the leftovers of a crash are found. */
  readonly intents: string;
}

/** The stream of a bucket. */
export class BucketStream {
  /** Its subjects. */
  readonly subjects: BucketSubjects;
  readonly #connection: JetStreamConnection;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #stream: string;
  #maxMessage = Infinity;

  private constructor(connection: JetStreamConnection, manager: JetStreamManager, name: string) {
    this.#connection = connection;
    this.#client = packages().jetstream.jetstream(connection.nats);
    this.#manager = manager;
    this.#stream = `bucket_${name}`;
    const base = `bucket_${name}`;
    this.subjects = { objects: `${base}.o`, chunks: `${base}.c`, intents: `${base}.i` };
  }

  /** Finds the stream; makes it if there is none. Waits for servers that start, or elect a leader. */
  static async open(nats: NatsConnection, name: string, replicas: number): Promise<BucketStream> {
    const { jetstream: { jetstreamManager } } = await loadNats();
    const connection = new JetStreamConnection(nats);
    try {
      return await opened(connection, async () => {
        const store = new BucketStream(connection, await jetstreamManager(nats), name);
        await store.#ensure(replicas);
        return store;
      });
    } catch (error) {
      await connection.close();
      throw bucketError(error, "open", `bucket_${name}`);
    }
  }

  /** The largest message that the server and the stream take. */
  get maxPayload(): number {
    return Math.min(this.#connection.nats.info?.max_payload ?? 1024 * 1024, this.#maxMessage);
  }

  /**
   * Writes a message.
   *
   * @param last the sequence that the last message of the subject must have; 0 if there must be none
   * @returns its sequence; nothing if the condition does not hold
   */
  async write(
    subject: string,
    data: Uint8Array,
    options: { headers?: MsgHdrs; last?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<number | undefined> {
    const { headers, last, signal } = options;
    try {
      const publish = () =>
        this.#client.publish(subject, data, {
          ...(headers !== undefined && { headers }),
          timeout: 10_000,
          expect: { streamName: this.#stream, ...(last !== undefined && { lastSubjectSequence: last }) },
        });
      return (await this.#connection.ask(publish, signal, false)).seq;
    } catch (error) {
      if (last !== undefined && isWrongSequence(error)) return undefined;
      throw bucketError(error, "write to", this.#stream);
    }
  }

  /** Reads the last message of a subject from the stream's leader; nothing if there is none. */
  async read(subject: string, signal: AbortSignal | undefined): Promise<StoredMsg | undefined> {
    try {
      const get = () => this.#manager.streams.getMessage(this.#stream, { last_by_subj: subject });
      return await this.#connection.ask(get, signal, false) ?? undefined;
    } catch (error) {
      if (isNoMessage(error)) return undefined;
      throw bucketError(error, "read", this.#stream);
    }
  }

  /** Reads a message that never changes, from any server that has it. */
  async readFixed(subject: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    try {
      const get = () => this.#manager.direct.getMessage(this.#stream, { last_by_subj: subject });
      const found = await this.#connection.ask(get, signal, false);
      if (found !== null) return found.data;
    } catch (error) {
      if (!isNoMessage(error) && !/message not found/i.test(String(error))) {
        throw bucketError(error, "read", this.#stream);
      }
    }
    return (await this.read(subject, signal))?.data; // a server may lag
  }

  /** Drops the messages of the subjects that match a filter, up to and with a sequence if one is given. */
  async drop(filter: string, last?: number): Promise<void> {
    try {
      const options = { filter, ...(last !== undefined && { seq: last + 1 }) };
      await this.#connection.ask(() => this.#manager.streams.purge(this.#stream, options), undefined, false);
    } catch (error) {
      throw bucketError(error, "delete from", this.#stream);
    }
  }

  /** The present messages of the subjects that match a filter. */
  async *all(
    filter: string,
    headersOnly: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Delivered, void, undefined> {
    const options = { filter, headersOnly, waits: false };
    let opening: Promise<StreamConsumer> | undefined;
    try {
      const open = () => opening = StreamConsumer.open(this.#connection, this.#manager, this.#stream, options);
      const consumer = await this.#connection.ask(open, signal, false);
      if (consumer.pending === 0) return;
      for (;;) {
        const batch = await consumer.next(signal ?? NEVER);
        if (batch.length === 0) return;
        yield* batch;
      }
    } catch (error) {
      throw bucketError(error, "list", this.#stream);
    } finally {
      opening?.then((consumer) => consumer.close()).catch(() => {});
    }
  }

  /** Stops using the connection. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** Refuses servers that together do not keep what a conditional put promises. */
  #checkServers(replicas: number): void {
    const { version = "" } = this.#connection.nats.info ?? {};
    if (replicas === 1 || !isBefore(version, HEEDING)) return;
    throw new SnapshotError(
      "UNSUPPORTED",
      `The stream ${this.#stream} is on ${replicas} servers of version ${version}, of which two puts on the same ` +
        `condition may both succeed: snapshots would be lost. Use ${HEEDING.join(".")} or newer, or one replica`,
      { source: this.#stream, actual: version, expected: HEEDING.join(".") },
    );
  }

  /** Refuses a server or a stream whose messages are too short for the parts of an object. */
  #checkMessages(): void {
    if (this.maxPayload >= LEAST_MESSAGE) return;
    throw new SnapshotError(
      "UNSUPPORTED",
      `The stream ${this.#stream} takes messages of ${this.maxPayload} bytes only: raise max_payload of the server and ` +
        `max_msg_size of the stream to ${LEAST_MESSAGE} or more`,
      { source: this.#stream, actual: this.maxPayload, expected: LEAST_MESSAGE },
    );
  }

  /** Finds the stream, or makes it. */
  async #find(replicas: number): Promise<StreamInfo> {
    const { DiscardPolicy, RetentionPolicy, StorageType } = packages().jetstream;
    const { objects, chunks, intents } = this.subjects;
    try {
      return await this.#manager.streams.info(this.#stream);
    } catch (error) {
      if (!isNoStream(error)) throw error;
    }
    try {
      return await this.#manager.streams.add({
        name: this.#stream,
        subjects: [`${objects}.>`, `${chunks}.>`, `${intents}.>`],
        storage: StorageType.File,
        num_replicas: replicas,
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.New,
        max_msgs_per_subject: 1,
        max_age: 0,
        max_msgs: -1,
        max_bytes: -1,
        allow_direct: true,
        deny_purge: false,
      });
    } catch (error) {
      if (!isNameInUse(error)) throw error;
      return await this.#manager.streams.info(this.#stream);
    }
  }

  async #ensure(replicas: number): Promise<void> {
    const { DiscardPolicy, RetentionPolicy, StorageType } = packages().jetstream;
    const { config } = await this.#find(replicas);
    if (
      config.max_age === 0 && config.max_msgs_per_subject === 1 && config.storage === StorageType.File &&
      config.discard === DiscardPolicy.New && config.retention === RetentionPolicy.Limits
    ) {
      if (config.max_msg_size > 0) this.#maxMessage = config.max_msg_size;
      this.#checkMessages();
      return this.#checkServers(config.num_replicas);
    }
    throw new SnapshotError(
      "UNSUPPORTED",
      `The stream ${this.#stream} cannot be a bucket: it keeps something else than the last message of each subject, ` +
        `in files, for ever`,
      { source: this.#stream },
    );
  }
}

/** Reports whether a version is before another. */
function isBefore(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor < major || ownMajor === major && ownMinor < minor;
}

const NEVER: AbortSignal = new AbortController().signal;

/** Makes a bucket's error of one of NATS. */
export function bucketError(error: unknown, what: string, stream: string): SnapshotError {
  if (isNoStream(error)) {
    return new SnapshotError("NOT_FOUND", `There is no bucket ${stream} any more: its stream was deleted`, {
      source: stream,
      cause: error,
    });
  }
  if (isSilent(error)) {
    return new SnapshotError(
      "UNAVAILABLE",
      `No server answers for the bucket ${stream}: it starts, or has no JetStream`,
      {
        source: stream,
        cause: error,
      },
    );
  }
  const wrapped = wrap(error, what, stream);
  if (wrapped.code !== "TIMEOUT" && wrapped.code !== "CLOSED") return wrapped;
  return new SnapshotError("UNAVAILABLE", wrapped.message, { ...wrapped.fields, cause: error });
}
