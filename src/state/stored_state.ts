/**
 * State by key in a database, saved out of a point-in-time view of it.
 *
 * @module
 */

import { listOf } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkName, checkReader, type SnapshotReader } from "../snapshot/mod.ts";
import { concat, raceAbort } from "../stream/mod.ts";
import { type Chain, incrementalOf, type IncrementalOptions, saveChain } from "./chain.ts";
import { ChangedKeys, textOfBytes } from "./changed_keys.ts";
import { checkEngine, checkStateOptions } from "./checks.ts";
import type { Codec } from "./codec.ts";
import { DeclaredStates } from "./declared.ts";
import { type Change, type Engine, guarded, WRITE_BATCH } from "./engine.ts";
import type { KeyCodec } from "./key_codec.ts";
import type { KeyGroupRange } from "./key_groups.ts";
import { KeySpace } from "./key_space.ts";
import type { KeyedStateOptions } from "./keyed_state.ts";
import type { SaveTask } from "./machine.ts";
import { type Expected, restore } from "./restore.ts";
import { SaveTasks } from "./save_tasks.ts";
import { decodeHead, type DescribedState, encodeHead, type Head } from "./state_head.ts";
import type { StoredList, StoredMap, StoredValue } from "./state_types.ts";
import { endOf, groupKey, metaKey, prefixOf, type Slot, splitKey } from "./stored_keys.ts";
import { dropStates } from "./stored_drop.ts";
import { type AnyStored, DatabaseList, DatabaseMap, DatabaseValue, type StoredOwner } from "./stored_states.ts";
import { StoredChecker, StoredLoader, StoredView } from "./stored_view.ts";

/** A change that waits to be written. */
interface Pending {
  readonly keyGroup: number;
  readonly state: string;
  /** The key in the state. */
  readonly key: Uint8Array;
  readonly change: Change;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What the next save can be built upon. */
interface Committed {
  readonly chain: Chain;
  /** About how many entries it has. */
  readonly entries: number;
}

/**
 * Named states by key in a database: what `KeyedState` is in memory, for state that is larger than that. Files are the
 * same: what one has saved the other can load.
 *
 * Entries lie in the order of their key groups. A save takes a point-in-time view of the database, and streams it at
 * constant memory while the state goes on changing. A load fills a place beside the state, and then changes over: if it
 * fails, everything is as it was.
 *
 * @typeParam K keys
 *
 * @example With any `abstract-level` database
 * ```ts ignore
 * import { jsonCodec, StoredState, stringKeys } from "@snapstream/snapstream";
 * import { levelEngine } from "@snapstream/snapstream/level";
 * import { ClassicLevel } from "classic-level";
 *
 * const engine = await levelEngine(new ClassicLevel("state.db"));
 * const state = await StoredState.open(engine, { keys: stringKeys() });
 * const users = state.value("users", jsonCodec<{ name: string }>());
 * await users.set("7", { name: "Ada" });
 * ```
 */
export class StoredState<K> implements AsyncDisposable {
  readonly #space: KeySpace<K>;
  readonly #engine: Engine;
  readonly #name: string;
  readonly #incremental: IncrementalOptions | undefined;
  readonly #states: DeclaredStates<AnyStored<K>>;
  /** What the database says of its states, beside those that are declared. */
  readonly #known: Map<string, DescribedState>;
  readonly #owner: StoredOwner<K>;
  readonly #tasks = new SaveTasks("state");
  #slot: Slot;
  /** Whether the database has to be told of a state. */
  #undescribed = true;
  #queue: Pending[] = [];
  #draining: Promise<void> | undefined;
  #alone: Promise<unknown> = Promise.resolve();
  #committed: Committed | undefined;
  /** What changed since that. */
  #changed: ChangedKeys | undefined;
  #saving = false;
  #loading: Promise<void> | undefined;
  /** Gives up a load. */
  readonly #stop = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(
    engine: Engine,
    space: KeySpace<K>,
    options: KeyedStateOptions<K>,
    slot: Slot,
    known: readonly DescribedState[],
  ) {
    const { name = "state", incremental = false, drop } = options;
    this.#space = space;
    this.#states = new DeclaredStates(space.keys.name, drop);
    this.#engine = engine;
    this.#name = checkName(name);
    this.#incremental = incrementalOf(incremental);
    this.#slot = slot;
    this.#known = new Map(known.map((state) => [state.name, state]));
    this.#owner = {
      keys: space.keys,
      read: (state, key, entryKey) => this.#read(state, key, entryKey),
      write: (state, key, entryKey, value) => this.#write(state, key, entryKey, value),
      entries: (state, key, begin) => this.#entries(state, key, begin),
      alone: (work) => this.#runAlone(work),
    };
  }

  /**
   * Opens the state that is in a database, or an empty one.
   *
   * @param engine the database: see `levelEngine`, `rocksEngine`, `sqliteEngine`
   * @param options as of `KeyedState`; what is in the database must have the same key groups and keys. States that are
   *   dropped are deleted from it
   * @throws {SnapshotError} `MALFORMED` if they are not allowed, or do not fit to the database; `UNAVAILABLE`, `CLOSED`
   */
  static async open<K>(engine: Engine, options: KeyedStateOptions<K>): Promise<StoredState<K>> {
    checkEngine(engine, "engine");
    const space = new KeySpace(checkStateOptions(options));
    const { keys, maxParallelism, range } = space;
    const database = guarded(engine);
    const [meta] = await database.getMany([metaKey()]);
    if (meta === undefined) return new StoredState(database, space, options, 0, []);
    if (meta[0] !== 0 && meta[0] !== 1) throw misfit("it is not keyed state");
    const head = decodeHead(meta.subarray(1), "the database");
    if (head.keys !== keys.name) throw misfit(`its keys are ${head.keys}, not ${keys.name}`);
    if (
      head.maxParallelism !== maxParallelism || head.range.first !== range.first || head.range.last !== range.last
    ) {
      throw misfit(`it has the key groups ${head.range.first} to ${head.range.last} of ${head.maxParallelism}`);
    }
    return new StoredState(database, space, options, meta[0], await dropStates(database, meta[0], head, options.drop));
  }

  /** How many key groups there are. */
  get maxParallelism(): number {
    return this.#space.maxParallelism;
  }

  /** Those that are kept here. */
  get range(): KeyGroupRange {
    return this.#space.range;
  }

  /** Whether a key belongs here. */
  owns(key: K): boolean {
    return this.#space.owns(key);
  }

  /** The key group of a key. */
  keyGroup(key: K): number {
    return this.#space.keyGroup(key);
  }

  /**
   * A state with one value for each key. To be declared before anything is loaded.
   *
   * @param name its name
   * @param values the codec of the values
   * @throws {SnapshotError} `MALFORMED` if there is one with this name, or it is dropped; or if no file can say what it
   *   is; `UNSUPPORTED` if what the database has of it is of another kind or codec
   */
  value<V>(name: string, values: Codec<V>): StoredValue<K, V> {
    return this.#add(new DatabaseValue<K, V>(this.#owner, name, values));
  }

  /** A state with a list for each key. As {@linkcode value}. */
  list<T>(name: string, items: Codec<T>): StoredList<K, T> {
    return this.#add(new DatabaseList<K, T>(this.#owner, name, items));
  }

  /** A state with a map for each key. As {@linkcode value}. */
  map<UK, V>(name: string, userKeys: KeyCodec<UK>, values: Codec<V>): StoredMap<K, UK, V> {
    return this.#add(new DatabaseMap<K, UK, V>(this.#owner, name, userKeys, values));
  }

  /**
   * The synchronous part of a save: takes a view of the database. It has every change whose promise has resolved.
   *
   * @returns the rest of the save; writes nothing if there are no entries. It is `UNSUPPORTED` if the database has
   *   entries of a state that is not declared: what it writes could not be loaded here
   * @throws {SnapshotError} `BUSY` while another save has not ended, `CLOSED`, `UNAVAILABLE`
   */
  save(): SaveTask {
    this.#tasks.check();
    if (this.#saving) throw new SnapshotError("BUSY", "The state is being saved: one save at a time");
    if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
    const committed = this.#committed;
    const changed = this.#changed;
    const viewed = {
      head: this.#head(this.#declared()),
      view: this.#engine.view(),
      slot: this.#slot,
      known: new Set(this.#known.keys()),
      changed,
      entries: committed?.entries ?? 0,
    };
    if (this.#incremental !== undefined) this.#changed = new ChangedKeys();
    this.#saving = true;
    let saved: Committed | undefined;
    const isCurrent = () => this.#committed === committed && this.#slot === viewed.slot;
    return this.#tasks.begin({
      write: async (writer, signal) => {
        const view = new StoredView(viewed);
        const chain = await saveChain(writer, this.#name, view, committed?.chain, this.#incremental ?? {}, signal);
        saved = { chain, entries: view.written > 0 ? view.written : viewed.entries };
      },
      committed: () => {
        if (this.#incremental !== undefined && isCurrent()) this.#committed = saved;
      },
      cleanUp: async () => {
        // What was not committed is still to be written, by the next save.
        if (this.#committed !== saved && isCurrent() && changed !== undefined) this.#changed?.addAll(changed);
        this.#saving = false;
        await viewed.view.close();
      },
    });
  }

  /**
   * Replaces all entries by those that snapshots have in the key groups of this state; or throws and leaves everything as
   * it is. Nothing is to be changed meanwhile.
   *
   * @param readers the snapshots; together they must have each key group of this state once
   * @throws {SnapshotError} as `KeyedState.load`; `BUSY` while it is being saved or loaded
   */
  async load(...readers: SnapshotReader[]): Promise<void> {
    listOf(checkReader)(readers, "readers");
    this.#tasks.check();
    if (this.#saving || this.#loading !== undefined) {
      throw new SnapshotError("BUSY", "The state is being saved, or loaded, already");
    }
    this.#loading = this.#load(readers);
    try {
      await this.#loading;
    } finally {
      this.#loading = undefined;
    }
  }

  /**
   * Whether {@linkcode load} would load snapshots: decodes every entry as `load` does, one chunk in memory at a time, and
   * changes nothing. What is of the codec and version that this state has is copied by a load, and so not decoded.
   *
   * @param readers the snapshots
   * @throws {SnapshotError} as `KeyedState.load`
   */
  async check(...readers: SnapshotReader[]): Promise<void> {
    this.#tasks.check();
    const undeclared = this.#states.undeclared();
    const loading = { space: this.#space, states: this.#states, undeclared };
    const checking = restore(readers, this.#expected, (head, isOnly) => new StoredChecker(loading, head, isOnly));
    await raceAbort(checking, this.#stop.signal);
    undeclared.check();
  }

  /**
   * Writes what is queued, gives up a save or a load that is under way and waits for it, and gives back what the engine
   * opened. A database that was passed in stays open.
   */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      this.#stop.abort(new SnapshotError("CLOSED", "The state was closed"));
      await this.#tasks.close();
      await this.#loading?.catch(() => {});
      await this.#draining;
      await this.#engine.close();
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #load(readers: readonly SnapshotReader[]): Promise<void> {
    await this.#draining;
    const engine = this.#engine;
    const [old, slot] = this.#slot === 0 ? [0, 1] as const : [1, 0] as const;
    await engine.clear(...slotRange(slot)); // what a load that failed, or a crash, left there
    const undeclared = this.#states.undeclared();
    const loading = { engine, space: this.#space, states: this.#states, undeclared, slot };
    const loaders: StoredLoader<K>[] = [];
    let chain: Chain | undefined;
    try {
      const restored = restore(readers, this.#expected, (head, isOnly) => {
        const loader = new StoredLoader(loading, head, isOnly);
        loaders.push(loader);
        return loader;
      });
      chain = await raceAbort(restored, this.#stop.signal); // what is read may be stalled
      undeclared.check();
      this.#tasks.check();
      await this.#describe(slot, this.#declared());
    } catch (error) {
      for (const loader of loaders) await loader.stop();
      await engine.clear(...slotRange(slot)).catch(() => {}); // or else by the next load
      throw this.#stop.signal.aborted ? this.#stop.signal.reason : error;
    }
    this.#slot = slot; // from here on that is the state
    for (const name of this.#known.keys()) if (this.#states.get(name) === undefined) this.#known.delete(name);
    const entries = loaders.reduce((sum, loader) => sum + loader.entries, 0);
    // Upon files that have what was dropped nothing is built: it would come back with them.
    this.#committed = this.#incremental && !undeclared.dropped && chain ? { chain, entries } : undefined;
    this.#changed = this.#committed && new ChangedKeys();
    await engine.clear(...slotRange(old)).catch(() => {}); // of no use any more; or else by the next load
  }

  #add<S extends AnyStored<K>>(state: S): S {
    const { name, described } = state;
    const known = this.#known.get(name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(described)) {
      throw new SnapshotError(
        "UNSUPPORTED",
        `The database has a ${known.kind} state ${
          JSON.stringify(name)
        } of ${known.codec}, version ${known.version}, not ` +
          `a ${described.kind} state of ${described.codec}, version ${described.version}: load a snapshot of it into a new one`,
        { expected: described.codec, actual: known.codec },
      );
    }
    this.#states.add(state);
    this.#known.set(name, described);
    this.#undescribed = true;
    return state;
  }

  get #expected(): Expected {
    const { maxParallelism, range } = this;
    return { name: this.#name, maxParallelism, range, keys: this.#space.keys.name };
  }

  #declared(): DescribedState[] {
    return [...this.#states.values()].map(({ described }) => described);
  }

  #head(states: readonly DescribedState[]): Omit<Head, "buildsUpon"> {
    const { maxParallelism, range } = this;
    return { maxParallelism, range, keys: this.#space.keys.name, states };
  }

  /** Writes changes, and with them what the database has to be told of its states. */
  async #describe(slot: Slot, states: readonly DescribedState[], changes: readonly Change[] = []): Promise<void> {
    const head = encodeHead({ ...this.#head(states), buildsUpon: undefined });
    this.#undescribed = false; // now: a state may be declared while this is written
    try {
      await this.#engine.write([{ key: metaKey(), value: concat([Uint8Array.of(slot), head]) }, ...changes]);
    } catch (error) {
      this.#undescribed = true;
      throw error;
    }
  }

  /** What the keys of a state begin with in the group of a key. */
  #prefix(state: AnyStored<K>, keyGroup: number): Uint8Array {
    return prefixOf(this.#slot, keyGroup, state.nameBytes);
  }

  /** The group of a key, which must be kept here. */
  #groupOf(key: K): number {
    this.#tasks.check();
    return this.#space.ownGroup(key);
  }

  async #read(state: AnyStored<K>, key: K, entryKey: Uint8Array): Promise<Uint8Array | undefined> {
    const stored = concat([this.#prefix(state, this.#groupOf(key)), entryKey]);
    return (await this.#engine.getMany([stored]))[0];
  }

  async *#entries(
    state: AnyStored<K>,
    key?: K,
    begin: Uint8Array = new Uint8Array(0),
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const { first, last } = key === undefined ? this.range : { first: this.#groupOf(key), last: this.#groupOf(key) };
    for (let group = first; group <= last; group++) {
      this.#tasks.check();
      const from = concat([this.#prefix(state, group), begin]);
      for await (const pairs of this.#engine.entries(from, endOf(from))) {
        for (const [stored, value] of pairs) yield [splitKey(stored).key, value];
      }
    }
  }

  #write(state: AnyStored<K>, key: K, entryKey: Uint8Array, value: Uint8Array | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const keyGroup = this.#groupOf(key);
      if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
      const change = { key: concat([this.#prefix(state, keyGroup), entryKey]), value };
      this.#queue.push({ keyGroup, state: state.name, key: entryKey, change, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Writes what is queued; what is queued meanwhile goes with the next batch. */
  async #drain(): Promise<void> {
    await Promise.resolve(); // all that is changed in this turn goes together
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, WRITE_BATCH);
      const changes = batch.map(({ change }) => change);
      const before = this.#note(batch);
      try {
        if (this.#undescribed) await this.#describe(this.#slot, [...this.#known.values()], changes);
        else await this.#engine.write(changes);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      // A save that was begun meanwhile may or may not have seen it: so the next one has to write it as well.
      if (this.#changed !== before) this.#note(batch);
    }
    this.#draining = undefined;
  }

  #note(batch: readonly Pending[]): ChangedKeys | undefined {
    const changed = this.#changed;
    if (changed !== undefined) {
      for (const { keyGroup, state, key } of batch) changed.add(keyGroup, state, textOfBytes(key));
    }
    return changed;
  }

  #runAlone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#alone.then(work);
    this.#alone = result.catch(() => {});
    return result;
  }
}

function slotRange(slot: Slot): [Uint8Array, Uint8Array] {
  return [Uint8Array.of(slot), groupKey(slot, 0x1_0000)];
}

function misfit(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `The state in the database is another one: ${what}`);
}
