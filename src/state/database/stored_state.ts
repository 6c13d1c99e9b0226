/**
 * State by key in a database, saved out of a point-in-time view of it.
 *
 * @module
 */

import { checkEntry, type DurablyApplied, type LogEntry, type SaveTask, type StateMachine } from "../machine.ts";
import { checkFunction, listOf } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { boundGroup, checkName, checkReader, type SnapshotReader } from "../../snapshot/mod.ts";
import { raceAbort } from "../../async/mod.ts";
import { concat, textOfBytes } from "../../stream/mod.ts";
import { AppliedChanges } from "./applied_changes.ts";
import { appliedBy, decodeApplied, encodeApplied, groupBy } from "./applied_record.ts";
import {
  type Chain,
  decodeHead,
  type DescribedState,
  encodeHead,
  type Expected,
  type Head,
  incrementalOf,
  type IncrementalOptions,
  restore,
  saveChain,
} from "../format/mod.ts";
import { ChangedKeys } from "./changed_keys.ts";
import { type Change, checkEngine, type Engine, guarded, type Readable, take, WRITE_BATCH } from "./engine.ts";
import { checkStateOptions, type KeyedStateOptions } from "../options.ts";
import type { Codec, KeyCodec } from "../codecs/mod.ts";
import { DeclaredStates } from "../declared.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { KeySpace } from "../key_space.ts";
import { overlaid, Overlay, type StateChange } from "./overlay.ts";
import { isReplicaCall } from "../replica_call.ts";
import { SaveTasks } from "../save_tasks.ts";
import type { StoredList, StoredMap, StoredValue } from "../state_types.ts";
import {
  appliedKey,
  endOf,
  groupChange,
  groupKey,
  groupNameKey,
  groupNameOf,
  metaKey,
  metaValue,
  prefixOf,
  type Slot,
  splitKey,
  splitMeta,
} from "./stored_keys.ts";
import { dropStates } from "./stored_drop.ts";
import { type AnyStored, DatabaseList, DatabaseMap, DatabaseValue, type StoredOwner } from "./stored_states.ts";
import { StoredChecker, StoredLoader, StoredView } from "./stored_view.ts";

/** A change that waits to be written. */
interface Pending {
  readonly change: StateChange;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The committed snapshot that the next save can be built upon. */
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
 * The changes of an entry of a log, and that the state has that entry, are one write: {@linkcode StoredState.apply},
 * and for a `Replica` {@linkcode StoredState.machine}. Changes outside of that belong to no entry: what they have been
 * made to cannot be a replica's, before a snapshot has replaced it.
 *
 * @category State
 * @typeParam K keys
 *
 * @example For a replica, with any `abstract-level` database
 * ```ts ignore
 * import { jsonCodec, Replica, StoredState, stringKeys } from "@snapstream/snapstream";
 * import { levelEngine } from "@snapstream/snapstream/level";
 * import { ClassicLevel } from "classic-level";
 *
 * const engine = await levelEngine(new ClassicLevel("state.db"));
 * const state = await StoredState.open(engine, { keys: stringKeys() });
 * const users = state.value("users", jsonCodec<{ name: string }>());
 * const machine = state.machine(async ({ data }) => {
 *   const { id, name } = JSON.parse(new TextDecoder().decode(data));
 *   await users.set(id, { name });
 * });
 * const replica = await Replica.open({ machine, storage, log });
 * ```
 *
 * @example Without one
 * ```ts ignore
 * await users.set("7", { name: "Ada" }); // in the database when that resolves
 * ```
 */
export class StoredState<K> implements AsyncDisposable {
  readonly #space: KeySpace<K>;
  readonly #engine: Engine;
  readonly #name: string;
  readonly #incremental: IncrementalOptions | undefined;
  readonly #states: DeclaredStates<AnyStored<K>>;
  /** The states that the database has beside those that are declared. */
  readonly #known: Map<string, DescribedState>;
  readonly #owner: StoredOwner<K>;
  readonly #tasks = new SaveTasks("state");
  #slot: Slot;
  /** True if a declared state is not described in the database yet. */
  #undescribed = true;
  /** The changes that a log makes. */
  readonly #log: AppliedChanges;
  /** True once a replica has asked for the durable index: from then on only its log changes the state. */
  #bound = false;
  /** The last entry that no power failure takes back; nothing if the database cannot say that, or a sync failed. */
  #synced: bigint | undefined;
  /** The group whose state it is, if that is known. */
  #group: string | undefined;
  #queue: Pending[] = [];
  #draining: Promise<void> | undefined;
  #alone: Promise<unknown> = Promise.resolve();
  #committed: Committed | undefined;
  /** The keys that changed since then. */
  #changed: ChangedKeys | undefined;
  #saving = false;
  #loading: Promise<void> | undefined;
  /** Cancels a load. */
  readonly #stop = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(
    engine: Engine,
    space: KeySpace<K>,
    options: KeyedStateOptions<K>,
    slot: Slot,
    known: readonly DescribedState[] | undefined,
    applied: DurablyApplied | undefined,
    group: string | undefined,
  ) {
    this.#group = group;
    const { name = "state", incremental = false, drop } = options;
    this.#space = space;
    this.#states = new DeclaredStates(space.keys.name, drop);
    this.#engine = engine;
    this.#synced = engine.sync === undefined ? undefined : 0n;
    this.#name = checkName(name);
    this.#incremental = incrementalOf(incremental);
    this.#slot = slot;
    this.#known = new Map(known?.map((state) => [state.name, state]));
    this.#log = new AppliedChanges(
      {
        write: (changes, applied) => this.#writeChanges([...changes, appliedChange(applied)], true),
        applied: (changes) => this.#note(changes),
      },
      applied,
      known === undefined,
    );
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
   * @throws {SnapshotError} `MALFORMED` if they are not allowed, or do not fit to the database; `BUSY` if another state
   *   has it; `UNAVAILABLE`, `CLOSED`
   */
  static async open<K>(engine: Engine, options: KeyedStateOptions<K>): Promise<StoredState<K>> {
    checkEngine(engine, "engine");
    const space = new KeySpace(checkStateOptions(options));
    const giveBack = take(engine);
    try {
      return await StoredState.#in(guarded(engine, giveBack), space, options);
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  static async #in<K>(
    database: Engine,
    space: KeySpace<K>,
    options: KeyedStateOptions<K>,
  ): Promise<StoredState<K>> {
    const { keys, maxParallelism, range } = space;
    const [value, applied, named] = await database.getMany([metaKey(), appliedKey(), groupNameKey()]);
    const group = groupNameOf(named);
    if (value === undefined) return new StoredState(database, space, options, 0, undefined, undefined, group);
    const meta = splitMeta(value);
    if (meta === undefined) throw misfit("it is not keyed state");
    const head = decodeHead(meta.head, "the database");
    if (head.keys !== keys.name) throw misfit(`its keys are ${head.keys}, not ${keys.name}`);
    if (
      head.maxParallelism !== maxParallelism || head.range.first !== range.first || head.range.last !== range.last
    ) {
      throw misfit(`it has the key groups ${head.range.first} to ${head.range.last} of ${head.maxParallelism}`);
    }
    const known = await dropStates(database, meta, head, options.drop);
    return new StoredState(database, space, options, meta.slot, known, applied && decodeApplied(applied), group);
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
   * Applies an entry of a log: all that `work` changes, and that the state has the entry, is in the database together
   * or not at all. What `work` reads has its own changes and those of entries before. It must await what it does.
   *
   * When this resolves the entry was applied; the database is written to behind it, that of many entries in one write.
   * A crash takes back the last of them: {@linkcode durable} then says where the log has to go on.
   *
   * @param entry the one that comes next. One that was applied already is passed over; of one that changes the
   *   membership
   *   only that is noted
   * @param work changes the state. If it throws, nothing was changed
   * @throws {SnapshotError} `MALFORMED` if it is not the one that comes next, or it is not known which one does; `BUSY`
   *   while
   *   another one is applied, or the state is loaded; `CLOSED`; what the database fails with
   *
   * @example
   * ```ts ignore
   * const applied = state.durable()?.index ?? 0n;
   * for await (const entry of log.entries(applied + 1n)) {
   *   await state.apply(entry, () => names.set("7", new TextDecoder().decode(entry.data)));
   * }
   * ```
   */
  async apply(entry: LogEntry, work: () => void | Promise<void> = () => {}): Promise<void> {
    checkEntry(entry, "entry");
    checkFunction(work, "work");
    this.#check();
    if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
    await this.#log.apply(entry, async () => {
      await work();
      for (let last; last !== this.#alone;) await (last = this.#alone);
      this.#tasks.check();
    });
  }

  /**
   * Up to which entry of a log the database has the state: {@linkcode StateMachine.durable}. Asked by a replica, it
   * also keeps out every change but those in {@linkcode apply}.
   *
   * @returns index 0 if there is no state; nothing if there is one, and the database does not say: it was changed
   *   outside
   *   of `apply`, or by an older release
   */
  durable(): DurablyApplied | undefined {
    if (isReplicaCall()) this.#bound = true;
    const { durable } = this.#log;
    const [group, synced] = [this.#group, this.#synced];
    return durable && { ...durable, ...(group !== undefined && { group }), ...(synced !== undefined && { synced }) };
  }

  /**
   * Binds the state to a group for good: {@linkcode StateMachine.bindGroup}. The database says it from then on.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is the state of another group, `MALFORMED` if that is no name of one;
   *   what the database fails with
   */
  async bindGroup(group: string): Promise<void> {
    const bound = this.#groupAs(group);
    this.#tasks.check();
    if (bound === this.#group) return;
    await this.#engine.write([groupChange(bound)]);
    this.#group = bound;
  }

  /**
   * Waits until all that was applied is in the database, and, if that is on a disk, synced.
   *
   * @throws {SnapshotError} what the database fails with: `NO_SPACE`, `UNAVAILABLE` …
   */
  async flush(): Promise<void> {
    await this.#log.flush();
    if (this.#synced === undefined) return;
    const { durable } = this.#log;
    const slot = this.#slot;
    try {
      await this.#engine.sync!();
    } catch (error) {
      this.#synced = undefined; // the system may have dropped what it could not write, and call the next sync good
      throw error;
    }
    if (slot === this.#slot) this.#synced = durable?.index ?? 0n; // a state that was loaded meanwhile is not synced
  }

  /**
   * The machine of this state, for a `Replica`: entries are applied in {@linkcode StoredState.apply}.
   *
   * @param apply changes the state as an entry says
   * @returns the machine; `{ ...machine, validate }` is one that looks at commands too
   */
  machine(apply: (entry: LogEntry) => void | Promise<void>): StateMachine {
    checkFunction(apply, "apply");
    return {
      apply: (entry) => this.apply(entry, () => apply(entry)),
      reconfigure: (entry) => this.apply(entry),
      durable: () => this.durable(),
      bindGroup: (group) => this.bindGroup(group),
      flush: () => this.flush(),
      save: () => this.save(),
      load: (reader) => this.load(reader),
      check: (reader) => this.check(reader),
    };
  }

  /**
   * The synchronous part of a save: takes a view of the database. It has every change, and every entry, whose promise
   * has resolved.
   *
   * @returns the rest of the save; writes nothing if there are no entries. It is `UNSUPPORTED` if the database has
   *   entries of a state that is not declared: what it writes could not be loaded here
   * @throws {SnapshotError} `BUSY` while another save has not ended, `CLOSED`, `UNAVAILABLE`
   */
  save(): SaveTask {
    this.#check();
    if (this.#saving) throw new SnapshotError("BUSY", "The state is being saved: one save at a time");
    if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
    const committed = this.#committed;
    const changed = this.#changed;
    const unwritten = new Overlay();
    for (const layer of [...this.#log.unwritten].reverse()) unwritten.addAll(layer);
    const view = this.#engine.view();
    const viewed = {
      head: this.#head(this.#declared()),
      view: { ...overlaid(view, [unwritten]), close: () => view.close() },
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
        // The next save must write the changes again that were not committed.
        if (this.#committed !== saved && isCurrent() && changed !== undefined) this.#changed?.addAll(changed);
        this.#saving = false;
        await viewed.view.close();
      },
    });
  }

  /**
   * Replaces all entries by those that snapshots have in the key groups of this state; or throws and leaves everything
   * as it is. Nothing is to be changed meanwhile. The same write that changes over says which entries the state has
   * now.
   *
   * @param readers the snapshots; together they must have each key group of this state once
   * @throws {SnapshotError} as `KeyedState.load`; `BUSY` while it is being saved or loaded, or an entry is applied;
   *   `STALE`
   *   if a replica has the state, and it is newer; `FORBIDDEN` if a replica has it, and it is of another group
   */
  async load(...readers: SnapshotReader[]): Promise<void> {
    listOf(checkReader)(readers, "readers");
    this.#check();
    if (this.#saving || this.#loading !== undefined || this.#log.scope !== undefined) {
      throw new SnapshotError("BUSY", "The state is being saved, loaded or changed already");
    }
    const { index = 0n } = this.#log.applied ?? {};
    const loaded = appliedBy(readers)?.index ?? 0n;
    if (this.#bound && loaded < index) {
      throw new SnapshotError(
        "STALE",
        `Snapshot ${loaded} is older than the state in the database, which is at ${index}`,
        {
          index: loaded,
          actual: index,
        },
      );
    }
    this.#loading = this.#load(readers);
    try {
      await this.#loading;
    } finally {
      this.#loading = undefined;
    }
  }

  /**
   * Whether {@linkcode load} would load snapshots: decodes every entry as `load` does, one chunk in memory at a time,
   * and changes nothing. What is of the codec and version that this state has is copied by a load, and so not decoded.
   *
   * @param readers the snapshots
   * @throws {SnapshotError} as `KeyedState.load`
   */
  async check(...readers: SnapshotReader[]): Promise<void> {
    listOf(checkReader)(readers, "readers");
    this.#tasks.check();
    const undeclared = this.#states.undeclared();
    const loading = { space: this.#space, states: this.#states, undeclared };
    const checking = restore(readers, this.#expected, (head, isOnly) => new StoredChecker(loading, head, isOnly));
    await raceAbort(checking, this.#stop.signal);
    undeclared.check();
  }

  /**
   * Writes the queued changes, cancels a save or a load that is under way and waits for it, and closes what the engine
   * opened. A database that was passed in stays open.
   *
   * @throws {SnapshotError} if entries that were applied could not be written; it is closed all the same
   */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      this.#stop.abort(new SnapshotError("CLOSED", "The state was closed"));
      await this.#tasks.close();
      await this.#loading?.catch(() => {});
      await this.#draining;
      try {
        await this.#log.flush();
      } finally {
        await this.#engine.close();
      }
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #load(readers: readonly SnapshotReader[]): Promise<void> {
    await this.#draining;
    await this.#log.settled();
    const engine = this.#engine;
    const [old, slot] = this.#slot === 0 ? [0, 1] as const : [1, 0] as const;
    await engine.clear(...slotRange(slot)); // what a load that failed, or a crash, left there
    const undeclared = this.#states.undeclared();
    const loading = { engine, space: this.#space, states: this.#states, undeclared, slot };
    const applied = appliedBy(readers);
    const offered = groupBy(readers);
    // A replica's state stays of its group; any other becomes what it is replaced by.
    const group = !this.#bound ? offered : offered === undefined ? this.#group : this.#groupAs(offered);
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
      const changes = [appliedChange(applied), groupChange(group)];
      await this.#describe(slot, this.#declared(), changes, applied !== undefined);
    } catch (error) {
      for (const loader of loaders) await loader.stop();
      await engine.clear(...slotRange(slot)).catch(() => {}); // or else by the next load
      throw this.#stop.signal.aborted ? this.#stop.signal.reason : error;
    }
    this.#slot = slot; // from here on that is the state
    this.#group = group;
    this.#log.replaced(applied);
    if (this.#synced !== undefined) this.#synced = 0n;
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

  #groupAs(group: string): string {
    return boundGroup(this.#group, group, "The state in the database");
  }

  #declared(): DescribedState[] {
    return [...this.#states.values()].map(({ described }) => described);
  }

  #head(states: readonly DescribedState[]): Omit<Head, "buildsUpon"> {
    const { maxParallelism, range } = this;
    return { maxParallelism, range, keys: this.#space.keys.name, states };
  }

  /** Writes changes, and with them what the database has to be told of its states. */
  async #describe(
    slot: Slot,
    states: readonly DescribedState[],
    changes: readonly Change[],
    hasApplied: boolean,
  ): Promise<void> {
    const head = encodeHead({ ...this.#head(states), buildsUpon: undefined });
    this.#undescribed = false; // now: a state may be declared while this is written
    try {
      await this.#engine.write([{ key: metaKey(), value: metaValue(slot, hasApplied, head) }, ...changes]);
    } catch (error) {
      this.#undescribed = true;
      throw error;
    }
  }

  /**
   * Writes changes in one go; to be told of states, or that there is a record, the database gets a new head with them.
   */
  async #writeChanges(changes: readonly Change[], hasApplied: boolean): Promise<void> {
    if (!this.#undescribed && hasApplied === this.#log.isRecorded) await this.#engine.write(changes);
    else await this.#describe(this.#slot, [...this.#known.values()], changes, hasApplied);
  }

  /** @throws {SnapshotError} `CLOSED`; `MALFORMED` if a replica's machine uses it, and has not said what it has */
  #check(): void {
    this.#tasks.check();
    if (!isReplicaCall() || this.#bound) return;
    throw new SnapshotError(
      "MALFORMED",
      "The machine of a replica uses a state in a database, and does not say by `durable` which entries that has: after a " +
        "restart they would be applied again. Make it by `state.machine(apply)`, or have it say `durable() { return " +
        "state.durable(); }` and apply in `state.apply(entry, work)`",
    );
  }

  /** Returns the prefix of a state's keys in the group of a key. */
  #prefix(state: AnyStored<K>, keyGroup: number): Uint8Array {
    return prefixOf(this.#slot, keyGroup, state.nameBytes);
  }

  /** The group of a key, which must be kept here. */
  #groupOf(key: K): number {
    this.#check();
    return this.#space.ownGroup(key);
  }

  async #read(state: AnyStored<K>, key: K, entryKey: Uint8Array): Promise<Uint8Array | undefined> {
    const stored = concat([this.#prefix(state, this.#groupOf(key)), entryKey]);
    return (await this.#source.getMany([stored]))[0];
  }

  /** The database as it will be. */
  get #source(): Readable {
    const { scope, unwritten } = this.#log;
    return overlaid(this.#engine, scope === undefined ? unwritten : [scope, ...unwritten]);
  }

  async *#entries(
    state: AnyStored<K>,
    key?: K,
    begin: Uint8Array = new Uint8Array(0),
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const { first, last } = key === undefined ? this.range : { first: this.#groupOf(key), last: this.#groupOf(key) };
    for (let group = first; group <= last; group++) {
      this.#check();
      const from = concat([this.#prefix(state, group), begin]);
      for await (const pairs of this.#source.entries(from, endOf(from))) {
        for (const [stored, value] of pairs) yield [splitKey(stored).key, value];
      }
    }
  }

  #write(state: AnyStored<K>, key: K, entryKey: Uint8Array, value: Uint8Array | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const keyGroup = this.#groupOf(key);
      if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
      const stored = concat([this.#prefix(state, keyGroup), entryKey]);
      const change: StateChange = { key: stored, value, keyGroup, state: state.name, entryKey };
      const { scope } = this.#log;
      if (scope !== undefined) {
        scope.add(change);
        return resolve();
      }
      if (this.#bound) throw outside(state.name);
      this.#queue.push({ change, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Writes what is queued; what is queued meanwhile goes with the next batch. */
  async #drain(): Promise<void> {
    await Promise.resolve(); // all that is changed in this turn goes together
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, WRITE_BATCH);
      const changes = batch.map(({ change }) => change);
      let before: ChangedKeys | undefined;
      try {
        await this.#log.flush(); // or it would be written over what is newer
        this.#log.changedOtherwise();
        before = this.#note(changes);
        await this.#writeChanges(changes, this.#log.isRecorded);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      // A save that was begun meanwhile may or may not have seen it: so the next one has to write it as well.
      if (this.#changed !== before) this.#note(changes);
    }
    this.#draining = undefined;
  }

  #note(changes: readonly StateChange[]): ChangedKeys | undefined {
    const changed = this.#changed;
    if (changed !== undefined) {
      for (const { keyGroup, state, entryKey } of changes) changed.add(keyGroup, state, textOfBytes(entryKey));
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

/** Has the database say which entries it has; or, with nothing, that this is not known. */
function appliedChange(applied: DurablyApplied | undefined): Change {
  return { key: appliedKey(), value: applied && encodeApplied(applied) };
}

function outside(state: string): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `The state ${
      JSON.stringify(state)
    } belongs to a replica, and was changed outside of \`state.apply(entry, work)\`: what ` +
      `changes it must be done there, and be awaited`,
  );
}

function misfit(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `The state in the database is another one: ${what}`);
}
