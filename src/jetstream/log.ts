/**
 * A stream of NATS JetStream as the replicated log of any number of replicas: the servers order, copy and keep it.
 *
 * @module
 */

import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import {
  checkFunction,
  checkIndex,
  checkOptions,
  checkSignal,
  checkString,
  checkTimeout,
  integer,
  limitOf,
  required,
} from "../checks.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";
import type { LogEntry } from "../state/mod.ts";
import { type FailingTask, Failures, raceAbort } from "../async/mod.ts";
import { MESSAGE_ID, TERM } from "./entry.ts";
import { isNoMessage, isSilent, wrap } from "./errors.ts";
import { followStream } from "./follow.ts";
import { checkConnection, JetStreamConnection } from "./connection.ts";
import { Members } from "./members.ts";
import { Proposals } from "./proposals.ts";
import { boundsOf, checkStream, ensureStream, type LogStream, type StreamBounds } from "./log_stream.ts";
import { opened } from "./opening.ts";
import type { LogProposeOptions, SharedLog } from "../log/mod.ts";
import { loadNats, nats as packages } from "./nats.ts";

/** Options of {@linkcode JetStreamLog.open}. */
export interface JetStreamLogOptions {
  /** The name of the stream: letters, digits, `_` and `-`. Made if there is none. */
  readonly stream: string;
  /** The name of this replica, the same after a restart and nobody else's: letters, digits, `_` and `-`. */
  readonly member: string;
  /**
   * The number of servers that keep a new stream: 1, 3 or 5.
   *
   * @default {1}
   */
  readonly replicas?: number;
  /**
   * The time that a silent member holds purging back, in milliseconds. After it the member has to install a snapshot.
   * 0 for no limit: a dead one holds it back for ever.
   *
   * @default {600000}
   */
  readonly memberTimeout?: number;
  /**
   * Called when this member could not say ten times in a row that it is alive, and after each ten more. After
   * `memberTimeout` others purge what it needs; then it installs a snapshot.
   */
  readonly onFailing?: (task: FailingTask<"beat">) => void;
  /** Cancels the opening. */
  readonly signal?: AbortSignal;
}

/** See {@linkcode JetStreamLogOptions.memberTimeout}. */
const MEMBER_TIMEOUT = 600_000;
/** An entry that this log knows to be in its stream: by the id of its message, or by the server's time of it. */
interface Witness {
  readonly index: bigint;
  readonly id?: string;
  readonly time?: string;
}

/**
 * A log that any number of replicas share. The index of an entry is the sequence of its message; all replicas apply the
 * same entries, in that order. The key-value bucket `<stream>-members` has the last entry that each member can spare.
 *
 * An entry is as durable as the stream makes it: a server on its own acknowledges once the operating system has it, and
 * syncs it to the disk later (`sync_interval`); with three replicas it takes two of the servers to lose it.
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { JetStreamLog } from "@snapstream/snapstream/jetstream";
 * import { wsconnect } from "@nats-io/nats-core";
 *
 * async function join(servers: string): Promise<void> {
 *   const connection = await wsconnect({ servers, maxReconnectAttempts: -1 });
 *   const log = await JetStreamLog.open(connection, { stream: "greetings", member: "node-1" });
 *   const machine = new KeyValueMachine(utf8Codec());
 *   const replica = await Replica.open({ machine, log, storage: new MemoryStorage() });
 *   await replica.propose(machine.put("hello", "world")); // on all replicas, in this order
 *   await replica.close();
 *   await connection.close();
 * }
 * console.assert(typeof join === "function");
 * ```
 */
export class JetStreamLog implements SharedLog {
  readonly #connection: JetStreamConnection;
  readonly #manager: JetStreamManager;
  #stream: LogStream;
  readonly #members: Members;
  readonly #proposals: Proposals;
  readonly #beat: ReturnType<typeof setInterval>;
  readonly #stop: AbortController = new AbortController();
  readonly #failures: Failures<"beat">;
  #bounds: StreamBounds;
  #witness: Witness | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    connection: JetStreamConnection,
    manager: JetStreamManager,
    stream: LogStream,
    members: Members,
    proposals: Proposals,
    info: StreamInfo,
    { memberTimeout = MEMBER_TIMEOUT, onFailing = () => {} }: JetStreamLogOptions,
  ) {
    this.#connection = connection;
    this.#manager = manager;
    this.#stream = stream;
    this.#members = members;
    this.#proposals = proposals;
    this.#bounds = boundsOf(info);
    this.#witness = witnessOf(info);
    // Others may have a limit where this one has none.
    const wait = Math.min(limitOf(memberTimeout), MEMBER_TIMEOUT) / 4;
    this.#failures = new Failures(onFailing);
    this.#beat = setInterval(() => void this.#sayAlive(), wait);
  }

  /**
   * Opens a log. While it is open nothing is purged that this member needs. Waits for servers that start, or elect a
   * leader, half a minute at the most.
   *
   * @param nats a connection; stays the caller's, and is to be closed after the log. With
   *   `maxReconnectAttempts: -1` any outage is waited out
   * @param options the stream, and the name of this member
   * @throws {SnapshotError} `UNSUPPORTED` if a package of NATS is not installed, the server has no JetStream, or the
   *   stream could lose entries; `FORBIDDEN` if the user of the connection may not use it; `MALFORMED` if a name is
   *   not valid; `TIMEOUT`, `UNAVAILABLE`
   */
  static async open(nats: NatsConnection, options: JetStreamLogOptions): Promise<JetStreamLog> {
    checkConnection(nats, "connection");
    const { stream: name, member, signal } = checkOptions(options, {
      stream: required(checkString),
      member: required(checkString),
      replicas: integer(1, 5),
      memberTimeout: checkTimeout,
      onFailing: checkFunction,
      signal: checkSignal,
    });
    checkName("stream", name);
    checkName("member", member);
    await raceAbort(loadNats(), signal);
    const connection = new JetStreamConnection(nats);
    try {
      return await opened(connection, () => JetStreamLog.#try(connection, options), signal);
    } catch (error) {
      await connection.close();
      throw isSilent(error) ? noJetStream(name, error) : wrap(error, "open", name);
    }
  }

  static async #try(connection: JetStreamConnection, options: JetStreamLogOptions): Promise<JetStreamLog> {
    const { stream: name, member, replicas = 1, memberTimeout = MEMBER_TIMEOUT, signal } = options;
    throwIfCancelled(signal);
    const { jetstream: { jetstream, jetstreamManager } } = packages();
    const client = jetstream(connection.nats);
    const manager = await raceAbort(jetstreamManager(connection.nats), signal);
    const stream = await raceAbort(ensureStream(manager, name, replicas), signal);
    const members = await raceAbort(Members.open(client, manager, stream, member, limitOf(memberTimeout)), signal);
    await raceAbort(members.join(boundsOf(await manager.streams.info(name)).first), signal);
    // Read again: the bounds hold only from here on, now that nothing this member needs is purged.
    const info = await raceAbort(manager.streams.info(name), signal);
    return new JetStreamLog(
      connection,
      manager,
      stream,
      members,
      new Proposals(connection, manager, stream),
      info,
      options,
    );
  }

  get firstIndex(): bigint {
    return this.#bounds.first;
  }

  get lastIndex(): bigint {
    return this.#bounds.last;
  }

  get byteLength(): number {
    return this.#bounds.bytes;
  }

  async refresh(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      throw wrap(error, "look at", this.#stream.name);
    }
  }

  async propose(
    entry: Pick<LogEntry, "data" | "configuration">,
    options: LogProposeOptions = {},
  ): Promise<LogEntry> {
    const { id, entry: proposed } = await this.#proposals.propose(entry, options);
    this.#saw(proposed.index, id);
    return proposed;
  }

  follow(from: bigint, signal: AbortSignal): AsyncIterable<readonly LogEntry[]> {
    checkIndex(from, "from");
    checkSignal(signal, "signal");
    return followStream(
      {
        connection: this.#connection,
        manager: this.#manager,
        stream: this.#stream.name,
        bounds: () => this.#look(),
        received: ({ id, entry }) => {
          this.#proposals.seen(id, entry.index);
          this.#saw(entry.index, id);
        },
      },
      from,
      AbortSignal.any([signal, this.#stop.signal]),
    );
  }

  async term(index: bigint): Promise<bigint | undefined> {
    checkIndex(index, "index");
    if (index < this.#bounds.first - 1n || index > this.#bounds.last) return undefined;
    return index === 0n ? 0n : TERM;
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    const { name } = this.#stream;
    try {
      await this.#members.raise(index);
      const safe = await this.#members.lowest();
      const { first, last } = await this.#look();
      const target = safe < last ? safe : last;
      if (target < first) return;
      await this.#manager.streams.purge(name, { seq: Number(target + 1n) });
      await this.#look();
    } catch (error) {
      throw wrap(error, "purge", name);
    }
  }

  /** See {@linkcode SharedLog.failing}. */
  failing(): readonly FailingTask<"beat">[] {
    return this.#failures.failing;
  }

  /** Closes the log. The member still counts until its timeout: it may only be restarting. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      clearInterval(this.#beat);
      this.#proposals.close();
      this.#stop.abort(new SnapshotError("CLOSED", "The log was closed"));
      await this.#connection.close();
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Says that the member here is alive; a later time makes up for a failure, unless all of them fail. */
  async #sayAlive(): Promise<void> {
    try {
      await this.#members.beat();
      this.#failures.succeeded("beat");
    } catch (error) {
      if (this.#closed !== undefined) return;
      this.#failures.failed("beat", `${this.#stream.name} could not be told that this member is alive`, error);
    }
  }

  /** Reads the stream's bounds, and checks that it is still the same, and fit to be a log. */
  async #look(): Promise<StreamBounds> {
    const { name, created } = this.#stream;
    const info = await this.#manager.streams.info(name);
    const now = checkStream(info);
    // Members of a cluster that make it at once are one stream, whose time the server sets with each of them: some are
    // told an earlier one than that which stays. It is the same as long as it has what was seen in it.
    if (now.created !== created && (this.#bounds.last === 0n || await this.#hasWitness())) this.#stream = now;
    else if (now.created !== created) {
      throw new SnapshotError(
        "CORRUPT",
        `The stream ${name} was made anew at ${now.created}: it is another log than that of ${created}, which is gone`,
        { source: name, expected: created, actual: now.created },
      );
    }
    this.#witness = witnessOf(info) ?? this.#witness;
    return this.#bounds = boundsOf(info);
  }

  /** Whether the stream has an entry that was seen in this log. One that is gone proves nothing. */
  async #hasWitness(): Promise<boolean> {
    const { index, id, time } = this.#witness ?? {};
    if (index === undefined) return false;
    try {
      const found = await this.#manager.streams.getMessage(this.#stream.name, { seq: Number(index) });
      if (found === null) return false;
      return id === undefined ? found.timestamp === time : found.header.get(MESSAGE_ID) === id;
    } catch (error) {
      if (isNoMessage(error)) return false;
      throw error;
    }
  }

  #saw(index: bigint, id: string): void {
    if (index >= (this.#witness?.index ?? 0n)) this.#witness = { index, id };
    if (index > this.#bounds.last) this.#bounds = { ...this.#bounds, last: index };
  }
}

function witnessOf({ state }: StreamInfo): Witness | undefined {
  return state.messages === 0 ? undefined : { index: BigInt(state.last_seq), time: String(state.last_ts) };
}

function noJetStream(stream: string, cause: unknown): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `The server has no JetStream, or not for this account: start it with --jetstream`,
    { source: stream, cause },
  );
}

function checkName(what: string, name: string): void {
  if (/^[A-Za-z0-9_-]{1,200}$/.test(name)) return;
  throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} is no name for a ${what}: letters, digits, _ and -`, {
    actual: name,
  });
}
