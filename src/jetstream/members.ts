/**
 * The members that read a log, and how much of it each needs still: in a key-value bucket beside the stream.
 *
 * @module
 */

import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { KV } from "@nats-io/kv";
import { SnapshotError } from "../errors.ts";
import { isNoMessage, wrap } from "./errors.ts";
import type { LogStream } from "./log_stream.ts";
import { nats } from "./nats.ts";

/** The record of a member, as JSON. */
interface MemberRecord {
  /** The last entry that it does not need any more. */
  readonly safeIndex: string;
}

/** A member, as the bucket has it. */
interface Known {
  readonly name: string;
  readonly safeIndex: bigint;
  /** The time of its last record, by the server's clock. */
  readonly at: number;
  readonly revision: number;
}

/** The members of a log. */
export class Members {
  readonly #manager: JetStreamManager;
  readonly #bucket: KV;
  readonly #name: string;
  readonly #self: string;
  readonly #timeout: number;
  #safeIndex = 0n;
  /** Serializes the writes, so that the newest record is the last one written. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(manager: JetStreamManager, bucket: KV, name: string, self: string, timeout: number) {
    this.#manager = manager;
    this.#bucket = bucket;
    this.#name = name;
    this.#self = self;
    this.#timeout = timeout;
  }

  /**
   * Finds the members of a stream; makes the bucket if there is none.
   *
   * @param client the connection
   * @param manager the same
   * @param stream the stream; the bucket is on as many servers
   * @param self the name of the member here
   * @param timeout how long a silent member counts, in milliseconds
   */
  static async open(
    client: JetStreamClient,
    manager: JetStreamManager,
    stream: LogStream,
    self: string,
    timeout: number,
  ): Promise<Members> {
    const name = `${stream.name}-members`;
    try {
      // No direct reads: a server that lags may not know a new member yet, and its entries would be purged.
      const options = { history: 1, replicas: stream.replicas, allow_direct: false };
      const bucket = await new (nats().kv.Kvm)(client).create(name, options);
      return new Members(manager, bucket, name, self, timeout);
    } catch (error) {
      throw wrap(error, "find the members of", stream.name);
    }
  }

  /** The last entry that the member here does not need any more. */
  get safeIndex(): bigint {
    return this.#safeIndex;
  }

  /**
   * Registers the member here, before it begins to read: from here on nothing that it needs is purged.
   *
   * @param first the first entry of the stream, which a new member needs
   */
  async join(first: bigint): Promise<void> {
    const known = await this.#read(this.#self);
    this.#safeIndex = known?.safeIndex ?? first - 1n;
    await this.beat();
  }

  /** Records that the member here is alive. */
  beat(): Promise<void> {
    return this.#write();
  }

  /** Records that the member here does not need the entries up to an index any more. */
  async raise(index: bigint): Promise<void> {
    if (index > this.#safeIndex) this.#safeIndex = index;
    await this.#write();
  }

  /**
   * The last entry that no member needs. Members that were silent for too long do not count, and are forgotten. Time is
   * the server's.
   */
  async lowest(): Promise<bigint> {
    const members: Known[] = [];
    for (const name of await this.#names()) {
      const known = await this.#read(name);
      if (known !== undefined) members.push(known);
    }
    const now = members.find(({ name }) => name === this.#self)?.at;
    if (now === undefined) {
      throw new SnapshotError(
        "UNAVAILABLE",
        `The bucket ${this.#name} lost what ${this.#self} has just written to it`,
        {
          source: this.#name,
        },
      );
    }
    let lowest = this.#safeIndex;
    for (const member of members) {
      if (now - member.at >= this.#timeout) await this.#forget(member);
      else if (member.safeIndex < lowest) lowest = member.safeIndex;
    }
    return lowest;
  }

  #write(): Promise<void> {
    const written = this.#writing.then(async () => {
      const record: MemberRecord = { safeIndex: String(this.#safeIndex) };
      await this.#bucket.put(this.#self, JSON.stringify(record));
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  async #names(): Promise<string[]> {
    const prefix = `$KV.${this.#name}.`;
    const { state } = await this.#manager.streams.info(`KV_${this.#name}`, { subjects_filter: `${prefix}>` });
    return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
  }

  async #read(name: string): Promise<Known | undefined> {
    try {
      const entry = await this.#bucket.get(name);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return { name, safeIndex: safeIndexOf(entry.string()), at: entry.created.getTime(), revision: entry.revision };
    } catch (error) {
      if (isNoMessage(error)) return undefined;
      throw error;
    }
  }

  /** Removes a member, unless it has been heard of since. */
  async #forget({ name, revision }: Known): Promise<void> {
    await this.#manager.streams.purge(`KV_${this.#name}`, { filter: `$KV.${this.#name}.${name}`, seq: revision + 1 });
  }
}

/** The index in a record; 0, so that all is kept, if something else wrote it. */
function safeIndexOf(text: string): bigint {
  try {
    return BigInt((JSON.parse(text) as MemberRecord).safeIndex);
  } catch {
    return 0n;
  }
}
