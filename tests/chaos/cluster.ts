// Replicas of one history: a leader, and those that follow it through a bad network; what each has promised, and whether
// it keeps that.

import {
  type Follower,
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotReader,
  type SourceOptions,
  utf8Codec,
} from "../../mod.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { assert } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import type { Network } from "./network.ts";

/** A command of the one history. */
export interface Put {
  readonly index: bigint;
  readonly key: string;
  readonly value: string;
}

/** A machine that fails if an entry is applied twice, or after a later one. */
export class WatchedMachine extends KeyValueMachine<string> {
  #last = 0n;

  constructor() {
    super(utf8Codec());
  }

  override apply(entry: LogEntry): void {
    assert.isTrue(entry.index > this.#last, `Entry ${entry.index} is applied after entry ${this.#last}`);
    this.#last = entry.index;
    super.apply(entry);
  }

  override async load(...readers: SnapshotReader[]): Promise<void> {
    await super.load(...readers);
    this.#last = readers[0]!.meta.lastIncludedIndex;
  }
}

/** What a history gives, up to an entry. */
export function stateOf(history: readonly Put[], upTo: bigint): [string, string][] {
  const state = new Map<string, string>();
  for (const { index, key, value } of history) if (index <= upTo) state.set(key, value);
  return [...state].sort();
}

/** One of the replicas: its memory outlives its process, as a disk would. */
export class Member {
  readonly name: string;
  /** What others reach it by. */
  readonly source: SourceOptions;
  log: MemoryLog = new MemoryLog();
  machine: WatchedMachine = new WatchedMachine();
  replica!: Replica<WatchedMachine>;
  follower: Follower | undefined;
  /** The last entry that it was said to have. */
  promised = 0n;
  #storage = new MemoryStorage();
  #handler: SnapshotHandler | undefined;

  constructor(name: string, network: Network) {
    this.name = name;
    const refused = () => Promise.reject(new TypeError("connection refused"));
    this.source = {
      url: `http://${name}`,
      fetch: network.between((request) => this.#handler?.(request) ?? refused()),
    };
  }

  /** Starts its process, with what it had. */
  async open(): Promise<void> {
    this.machine = new WatchedMachine();
    const { machine, log } = this;
    const storage = overriding(this.#storage, { close: () => Promise.resolve() });
    const purge = { gap: 1, upToSnapshotIndex: "newest" as const };
    this.replica = await Replica.open({ machine, log, storage, purge });
    this.#handler = snapshotHandler(this.#storage, { target: this.replica, allowWrites: true });
    const { appliedIndex } = this.replica.status();
    assert.isTrue(appliedIndex >= this.promised, `${this.name} has ${appliedIndex}, and had ${this.promised}`);
  }

  /** Ends its process. */
  async kill(): Promise<void> {
    const handler = this.#handler;
    this.#handler = undefined;
    await handler?.close();
    await this.replica.close();
    this.follower = undefined;
  }

  /** Moves what it had away. */
  empty(): void {
    this.log = new MemoryLog();
    this.#storage = new MemoryStorage();
    this.promised = 0n;
  }

  /** Follows others; `onEvent` is told of it. */
  follow(others: readonly Member[], onEvent: (event: FollowerEvent) => void): Follower {
    return this.follower = this.replica.follow(others.map(({ source }) => source), { onEvent });
  }

  /** Fails unless its state is what the history gives. */
  check(history: readonly Put[]): void {
    const { appliedIndex } = this.replica.status();
    const found = [...this.machine.entries()].sort();
    assert.deepEqual(found, stateOf(history, appliedIndex), `${this.name} at ${appliedIndex}`);
  }
}
