/**
 * State by key, in memory, of which a view can be taken at any moment at no cost.
 *
 * @module
 */

import { checkStateOptions, type KeyedStateOptions } from "../options.ts";
import { listOf } from "../../checks.ts";
import { checkName, checkReader, type SnapshotReader } from "../../snapshot/mod.ts";
import type { OneState, StateOwner } from "./any_state.ts";
import {
  type Chain,
  type Expected,
  type Head,
  incrementalOf,
  type IncrementalOptions,
  restore,
  saveChain,
} from "../format/mod.ts";
import type { Codec, KeyCodec } from "../codecs/mod.ts";
import { DeclaredStates } from "../declared.ts";
import { Groups, type GroupsView } from "./groups.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { KeySpace } from "../key_space.ts";
import { KeyedChecker, KeyedLoader, KeyedView } from "./keyed_view.ts";
import type { SaveTask } from "../machine.ts";
import { toCheck } from "../replica_call.ts";
import { SaveTasks } from "../save_tasks.ts";
import type { ListState, MapState, ValueState } from "../state_types.ts";
import { KeyedList, KeyedMap, KeyedValue } from "./states.ts";

/** The committed snapshot that the next save can be built upon. */
interface Committed {
  readonly chain: Chain;
  readonly view: GroupsView;
}

/**
 * Named states by key (one value, a list, or a map for each), partitioned by key group as in Flink: the state of one
 * worker. A save takes a view in constant time and writes it while the state goes on changing; from what was saved any
 * range of key groups can be loaded, by reading just its bytes.
 *
 * Values are to be replaced, not changed. They are bytes, UTF-8, JSON, CBOR or protobuf messages (`bytesCodec`,
 * `utf8Codec`, `jsonCodec`; `cborCodec` of `./cbor`, `protobufCodec` of `./protobuf`), or what a codec of one's own
 * makes of them; what no save could write is refused when it is set. State that is larger than memory is in a
 * {@linkcode StoredState}; what one has saved the other loads.
 *
 * **Incremental** saves write what changed since the last committed snapshot, and link the files of that one; when
 * deltas outgrow half of the base, the next save is a full one. They are quick and small; but snapshots that share a
 * file share its fate on a bad disk. So it is off unless asked for.
 *
 * A state that is not declared any more is no obstacle if it is empty; `drop: ["carts"]` drops one that is not.
 *
 * @category State
 * @typeParam K keys
 *
 * @example The state of a machine
 * ```ts
 * import { jsonCodec, KeyedState, type LogEntry, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 * import { type SnapshotReader, type StateMachine, stringKeys } from "@snapstream/snapstream";
 *
 * class Visits implements StateMachine {
 *   readonly state = new KeyedState({ keys: stringKeys(), incremental: true });
 *   readonly counts = this.state.value("counts", jsonCodec<number>());
 *
 *   apply({ data }: LogEntry) {
 *     this.counts.update(new TextDecoder().decode(data), (count = 0) => count + 1);
 *   }
 *   save() {
 *     return this.state.save(); // its synchronous part; the rest goes on beside `apply`
 *   }
 *   load(reader: SnapshotReader) {
 *     return this.state.load(reader);
 *   }
 *   check(reader: SnapshotReader) {
 *     return this.state.check(reader); // of a snapshot from elsewhere, before it counts
 *   }
 * }
 *
 * const machine = new Visits();
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(new TextEncoder().encode("/"));
 * await replica.snapshot();
 * console.assert(machine.counts.get("/") === 1);
 * await replica.close();
 * ```
 *
 * @example Three workers become two
 * ```ts
 * import { jsonCodec, KeyedState, keyGroupRange, MemoryStorage, stringKeys } from "@snapstream/snapstream";
 *
 * const snapshots = await Promise.all([0, 1, 2].map(async (worker) => {
 *   const state = new KeyedState({ keys: stringKeys(), range: keyGroupRange(128, 3, worker) });
 *   const counts = state.value("count", jsonCodec<number>());
 *   for (const word of ["a", "b", "c", "d"]) if (state.owns(word)) counts.set(word, worker);
 *
 *   const storage = new MemoryStorage();
 *   const writer = await storage.create();
 *   const task = state.save()!; // of one of several workers there always is one
 *   await task.write(writer, new AbortController().signal);
 *   await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *   task.release();
 *   return await storage.open();
 * }));
 *
 * const first = new KeyedState({ keys: stringKeys(), range: keyGroupRange(128, 2, 0) });
 * const counts = first.value("count", jsonCodec<number>());
 * await first.load(...snapshots);
 * for (const word of ["a", "b", "c", "d"]) if (first.owns(word)) console.assert(counts.has(word));
 * ```
 */
export class KeyedState<K> {
  readonly #space: KeySpace<K>;
  readonly #name: string;
  readonly #incremental: IncrementalOptions | undefined;
  readonly #states: DeclaredStates<OneState<K>>;
  readonly #owner: StateOwner<K>;
  readonly #tasks = new SaveTasks("state");
  #groups: Groups;
  #committed: Committed | undefined;
  /** What checks have kept, to be loaded once: it is the state then, and no snapshot any more. */
  readonly #kept = new WeakSet<() => void>();
  /** True if all entries were cleared, or loaded, at some time. */
  #isReplaced = false;

  /**
   * Makes an empty state.
   *
   * @param options see {@linkcode KeyedStateOptions}
   * @throws {SnapshotError} `MALFORMED` if they are not allowed
   */
  constructor(options: KeyedStateOptions<K>) {
    checkStateOptions(options);
    const { keys, name = "state", incremental = false, drop } = options;
    this.#space = new KeySpace(options);
    this.#states = new DeclaredStates(keys.name, drop);
    this.#name = checkName(name);
    this.#incremental = incrementalOf(incremental);
    this.#groups = this.#emptyGroups();
    this.#owner = {
      keys,
      group: (key) => this.#groups.at(this.#place(key)),
      writable: (key) => this.#groups.writable(this.#place(key)),
      groups: () => this.#groups,
      size: (place) => this.#groups.size(place),
    };
  }

  /** The number of key groups. */
  get maxParallelism(): number {
    return this.#space.maxParallelism;
  }

  /** Those that are kept here. */
  get range(): KeyGroupRange {
    return this.#space.range;
  }

  /** Reports whether a key belongs here. */
  owns(key: K): boolean {
    return this.#space.owns(key);
  }

  /** The key group of a key. */
  keyGroup(key: K): number {
    return this.#space.keyGroup(key);
  }

  /** The number of entries of all states: values, lists, and entries of maps. */
  get size(): number {
    let size = 0;
    for (const { place } of this.#states.values()) size += this.#groups.size(place);
    return size;
  }

  /**
   * A state with one value for each key. To be declared before anything is loaded.
   *
   * @param name its name
   * @param values the codec of the values
   * @throws {SnapshotError} `MALFORMED` if there is one with this name, or it is dropped; or if no file can say what it
   *   is
   */
  value<V>(name: string, values: Codec<V>): ValueState<K, V> {
    return this.#states.add(new KeyedValue<K, V>(this.#owner, this.#states.size, name, values));
  }

  /** A state with a list for each key. As {@linkcode value}. */
  list<T>(name: string, items: Codec<T>): ListState<K, T> {
    return this.#states.add(new KeyedList<K, T>(this.#owner, this.#states.size, name, items));
  }

  /** A state with a map for each key. As {@linkcode value}. */
  map<UK, V>(name: string, userKeys: KeyCodec<UK>, values: Codec<V>): MapState<K, UK, V> {
    return this.#states.add(new KeyedMap<K, UK, V>(this.#owner, this.#states.size, name, userKeys, values));
  }

  /** Takes all entries of all states away. */
  clear(): void {
    this.#replace(this.#emptyGroups());
  }

  /**
   * The synchronous part of a save: takes a view, in constant time.
   *
   * @returns the rest of the save; nothing if there never was an entry, neither put nor loaded. What has none any more
   *   is saved, since its snapshot replaces what there was; and so is always the state of one worker of several, since
   *   who rescales needs a snapshot of each key group
   * @throws {SnapshotError} `CLOSED`
   */
  save(): SaveTask | undefined {
    this.#tasks.check();
    const groups = this.#groups;
    const isWhole = this.range.last - this.range.first + 1 === this.maxParallelism;
    if (isWhole && !this.#isReplaced && groups.isUntouched) return undefined;
    const view = groups.view();
    const mark = this.#incremental && groups.view(); // to be compared with by the next save, if this one succeeds
    const committed = this.#committed;
    committed?.view.share(); // stays what it is though another save commits, or something is loaded, meanwhile
    const states = [...this.#states.values()];
    let chain: Chain | undefined;
    return this.#tasks.begin({
      write: async (writer, signal) => {
        const source = new KeyedView(this.#head(states), states, view, committed?.view);
        chain = await saveChain(writer, this.#name, source, committed?.chain, this.#incremental ?? {}, signal);
      },
      committed: () => {
        // Not if something was loaded, or another save committed, meanwhile.
        if (mark !== undefined && this.#groups === groups && this.#committed === committed) {
          this.#setCommitted({ chain: chain!, view: mark.share() });
        }
      },
      cleanUp: () => {
        for (const held of [view, mark, committed?.view]) held?.release();
      },
    });
  }

  /**
   * Replaces all entries by those that snapshots have in the key groups of this state; or throws and leaves everything
   * as it is. Of other key groups nothing is read.
   *
   * @param readers the snapshots; together they must have each key group of this state once. Or, after them, what
   *   {@linkcode check} has kept of them: then nothing is read
   * @throws {SnapshotError} `MALFORMED` if a key group is missing, or there twice; `CORRUPT`; `UNSUPPORTED` if a state
   *   with entries is neither declared here nor dropped, or is another one there, or was saved by a newer release
   */
  async load(...readers: (SnapshotReader | (() => void))[]): Promise<void> {
    const kept = readers.at(-1);
    if (typeof kept === "function" && this.#kept.delete(kept)) kept();
    else (await this.#read(readers as SnapshotReader[]))();
  }

  /** Reads all entries; returns what replaces those of the state by them. */
  async #read(readers: readonly SnapshotReader[]): Promise<() => void> {
    listOf(checkReader)(readers, "readers");
    this.#tasks.check();
    const groups = this.#emptyGroups();
    const undeclared = this.#states.undeclared();
    const loading = { space: this.#space, states: this.#states, undeclared, groups };
    const chain = await restore(readers, this.#expected, (head, isOnly) => new KeyedLoader(loading, head, isOnly));
    undeclared.check();
    return () => {
      this.#tasks.check();
      this.#replace(groups);
      // Upon files that have what was dropped nothing is built: it would come back with them.
      if (this.#incremental === undefined || chain === undefined || undeclared.dropped) return;
      this.#setCommitted({ chain, view: groups.view() });
    };
  }

  /**
   * Whether {@linkcode load} would load snapshots: decodes every entry of the key groups of this state, one chunk in
   * memory at a time, and changes nothing.
   *
   * @param given the snapshots; `true` after them keeps all entries, beside the state, as
   *   {@linkcode StateMachine.check} may
   * @returns what `load` takes in their place, if they were kept
   * @throws {SnapshotError} as `load`
   */
  async check(...given: (SnapshotReader | boolean | undefined)[]): Promise<(() => void) | undefined> {
    const { readers, keep } = toCheck(given);
    if (keep) {
      const kept = await this.#read(readers);
      this.#kept.add(kept);
      return kept;
    }
    this.#tasks.check();
    const undeclared = this.#states.undeclared();
    const checking = { space: this.#space, states: this.#states, undeclared };
    await restore(readers, this.#expected, (head, isOnly) => new KeyedChecker(checking, head, isOnly));
    undeclared.check();
  }

  /**
   * Cancels saves that are under way, and waits for them. The state can be read and changed, but not saved, after
   * that.
   */
  async close(): Promise<void> {
    await this.#tasks.close();
    this.#setCommitted(undefined);
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Where the group of a key is. */
  #place(key: K): number {
    return this.#space.ownGroup(key) - this.range.first;
  }

  #head(states: readonly OneState<K>[]): Omit<Head, "buildsUpon"> {
    const { maxParallelism, range } = this;
    return { maxParallelism, range, keys: this.#space.keys.name, states: states.map(({ described }) => described) };
  }

  get #expected(): Expected {
    const { maxParallelism, range } = this;
    return { name: this.#name, maxParallelism, range, keys: this.#space.keys.name };
  }

  #emptyGroups(): Groups {
    return new Groups(this.range.last - this.range.first + 1);
  }

  #replace(groups: Groups): void {
    this.#groups = groups;
    this.#isReplaced = true;
    this.#setCommitted(undefined);
  }

  #setCommitted(committed: Committed | undefined): void {
    this.#committed?.view.release();
    this.#committed = committed;
  }
}
