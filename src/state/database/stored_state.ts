/**
 * State by key in a database, saved out of a point-in-time view of it.
 *
 * @module
 */

import { checkEntry, type DurablyApplied, type LogEntry, type SaveTask, type StateMachine } from "../machine.ts";
import { checkFunction, listOf } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { checkName, checkReader, type SnapshotReader } from "../../snapshot/mod.ts";
import { raceAbort } from "../../async/mod.ts";
import { withJson } from "../../stream/mod.ts";
import { AppliedChanges } from "./applied_changes.ts";
import { appliedBy, groupBy } from "./applied_record.ts";
import { type Expected, incrementalOf, restore } from "../format/mod.ts";
import { checkEngine, type Engine, guarded, take } from "./engine.ts";
import { checkStateOptions, type KeyedStateOptions } from "../options.ts";
import type { Codec, KeyCodec } from "../codecs/mod.ts";
import { DeclaredStates } from "../declared.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { KeySpace } from "../key_space.ts";
import { isReplicaCall, toCheck } from "../replica_call.ts";
import { SavedChanges } from "./saved_changes.ts";
import { SaveTasks } from "../save_tasks.ts";
import type { StoredList, StoredMap, StoredValue } from "../state_types.ts";
import { type Loaded, loadStored } from "./stored_load.ts";
import { StoredEntries } from "./stored_entries.ts";
import { appliedChange, type OpenedDatabase, StoredDatabase } from "./stored_database.ts";
import { saveStored } from "./stored_save.ts";
import { type AnyStored, DatabaseList, DatabaseMap, DatabaseValue } from "./stored_states.ts";
import { StoredChecker } from "./stored_view.ts";

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
  readonly #database: StoredDatabase<K>;
  readonly #name: string;
  readonly #states: DeclaredStates<AnyStored<K>>;
  readonly #tasks = new SaveTasks("state");
  /** The changes that a log makes. */
  readonly #log: AppliedChanges;
  readonly #entries: StoredEntries<K>;
  readonly #saved: SavedChanges;
  /** The last entry that no power failure takes back; nothing if the database cannot say that, or a sync failed. */
  #synced: bigint | undefined;
  #saving = false;
  #loading: Promise<void> | undefined;
  /** Cancels a load. */
  readonly #stop = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(
    { database, isEmpty, applied }: OpenedDatabase<K>,
    space: KeySpace<K>,
    { name = "state", incremental = false, drop }: KeyedStateOptions<K>,
  ) {
    this.#space = space;
    this.#states = new DeclaredStates(space.keys.name, drop);
    this.#database = database;
    this.#synced = database.engine.sync === undefined ? undefined : 0n;
    this.#name = checkName(name);
    this.#saved = new SavedChanges(incrementalOf(incremental));
    this.#log = new AppliedChanges(
      {
        write: (changes, applied) => database.write([...changes, appliedChange(applied)], true, this.#log.isRecorded),
        applied: (changes) => void this.#saved.note(changes),
      },
      applied,
      isEmpty,
    );
    this.#entries = new StoredEntries(space, database, this.#log, this.#saved, this.#tasks);
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
      return new StoredState(await StoredDatabase.open(guarded(engine, giveBack), space, options.drop), space, options);
    } catch (error) {
      giveBack();
      throw error;
    }
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
    return this.#add(new DatabaseValue<K, V>(this.#entries, name, values));
  }

  /** A state with a list for each key. As {@linkcode value}. */
  list<T>(name: string, items: Codec<T>): StoredList<K, T> {
    return this.#add(new DatabaseList<K, T>(this.#entries, name, items));
  }

  /** A state with a map for each key. As {@linkcode value}. */
  map<UK, V>(name: string, userKeys: KeyCodec<UK>, values: Codec<V>): StoredMap<K, UK, V> {
    return this.#add(new DatabaseMap<K, UK, V>(this.#entries, name, userKeys, values));
  }

  /**
   * Applies an entry of a log: all that `work` changes, and that the state has the entry, is in the database together
   * or not at all. What `work` reads has its own changes and those of entries before. It must await what it does.
   *
   * When this resolves the entry was applied; the database is written to behind it, that of many entries in one write.
   * A crash takes back the last of them: {@linkcode durable} then says where the log has to go on.
   *
   * @param entry the one that comes next. One that was applied already is passed over; of one that changes the
   *   membership only that is noted
   * @param work changes the state. If it throws, nothing was changed
   * @throws {SnapshotError} `MALFORMED` if it is not the one that comes next, or it is not known which one does; `BUSY`
   *   while another one is applied, or the state is loaded; `CLOSED`; what the database fails with
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
    this.#entries.check();
    if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
    await this.#log.apply(entry, async () => {
      await work();
      await this.#entries.aloneSettled();
      this.#tasks.check();
    });
  }

  /**
   * Up to which entry of a log the database has the state: {@linkcode StateMachine.durable}. Asked by a replica, it
   * also keeps out every change but those in {@linkcode apply}.
   *
   * @returns index 0 if there is no state; nothing if the state was changed outside of `apply`, or by an older release
   */
  durable(): DurablyApplied | undefined {
    if (isReplicaCall()) this.#entries.isBound = true;
    const [{ durable }, { group }, synced] = [this.#log, this.#database, this.#synced];
    if (durable === undefined) return undefined;
    return withJson({ ...durable, ...(group !== undefined && { group }), ...(synced !== undefined && { synced }) });
  }

  /**
   * Binds the state to a group for good: {@linkcode StateMachine.bindGroup}. The database says it from then on.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is the state of another group, `MALFORMED` if that is no name of one;
   *   what the database fails with
   */
  async bindGroup(group: string): Promise<void> {
    const bound = this.#database.groupAs(group);
    this.#tasks.check();
    await this.#database.bindGroup(bound);
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
    const { slot } = this.#database;
    try {
      await this.#database.engine.sync!();
    } catch (error) {
      this.#synced = undefined; // the system may have dropped what it could not write, and call the next sync good
      throw error;
    }
    // A state that was loaded meanwhile is not synced.
    if (slot === this.#database.slot) this.#synced = durable?.index ?? 0n;
  }

  /**
   * The machine of this state, for a `Replica`: entries are applied in {@linkcode StoredState.apply}.
   *
   * @param apply changes the state as an entry says
   * @returns the machine; `{ ...machine, validate }` is one that looks at commands too
   */
  machine(apply: StateMachine["apply"]): StateMachine {
    checkFunction(apply, "apply");
    return {
      apply: (entry, validated) => this.apply(entry, () => apply(entry, validated)),
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
    this.#entries.check();
    if (this.#saving) throw new SnapshotError("BUSY", "The state is being saved: one save at a time");
    if (this.#loading !== undefined) throw new SnapshotError("BUSY", "The state is being loaded");
    const states = [...this.#states.values()].map(({ described }) => described);
    const [database, { unwritten }, saved, name] = [this.#database, this.#log, this.#saved, this.#name];
    const ended = () => this.#saving = false;
    const save = saveStored({ database, unwritten, saved, states, name, ended });
    this.#saving = true;
    return this.#tasks.begin(save);
  }

  /**
   * Replaces all entries by those that snapshots have in the key groups of this state; or throws and leaves everything
   * as it is. Nothing is to be changed meanwhile. The same write that changes over says which entries the state has
   * now.
   *
   * @param readers the snapshots; together they must have each key group of this state once
   * @throws {SnapshotError} as `KeyedState.load`; `BUSY` while it is being saved or loaded, or an entry is applied;
   *   `STALE` if a replica has the state, and it is newer; `FORBIDDEN` if a replica has it, and it is of another group
   */
  async load(...readers: SnapshotReader[]): Promise<void> {
    listOf(checkReader)(readers, "readers");
    this.#entries.check();
    if (this.#saving || this.#loading !== undefined || this.#log.scope !== undefined) {
      throw new SnapshotError("BUSY", "The state is being saved, loaded or changed already");
    }
    const { index = 0n } = this.#log.applied ?? {};
    const loaded = appliedBy(readers)?.index ?? 0n;
    if (this.#entries.isBound && loaded < index) {
      throw new SnapshotError(
        "STALE",
        `Snapshot ${loaded} is older than the state in the database, which is at ${index}`,
        { index: loaded, actual: index },
      );
    }
    this.#entries.isLoading = true;
    this.#loading = this.#load(readers);
    try {
      await this.#loading;
    } finally {
      this.#loading = undefined;
      this.#entries.isLoading = false;
    }
  }

  /**
   * Whether {@linkcode load} would load snapshots: decodes every entry as `load` does, one chunk in memory at a time,
   * and changes nothing. What is of the codec and version that this state has is copied by a load, and so not decoded.
   *
   * @param given the snapshots; nothing is kept of them, though a replica offers it
   * @throws {SnapshotError} as `KeyedState.load`
   */
  async check(...given: (SnapshotReader | boolean | undefined)[]): Promise<void> {
    const { readers } = toCheck(given);
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
      await this.#entries.directSettled();
      try {
        await this.#log.flush();
      } finally {
        await this.#database.engine.close();
      }
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #load(readers: readonly SnapshotReader[]): Promise<void> {
    await this.#entries.directSettled();
    await this.#log.settled();
    const database = this.#database;
    const offered = groupBy(readers);
    // A replica's state stays of its group; any other becomes what it is replaced by.
    const group = !this.#entries.isBound ? offered : offered === undefined ? database.group : database.groupAs(offered);
    const target = {
      database,
      space: this.#space,
      states: this.#states,
      expected: this.#expected,
      stop: this.#stop.signal,
      replaced: ({ applied, chain, entries }: Loaded) => {
        this.#log.replaced(applied);
        if (this.#synced !== undefined) this.#synced = 0n;
        this.#saved.replaced(chain, entries);
      },
    };
    await loadStored(target, readers, group);
  }

  #add<S extends AnyStored<K>>(state: S): S {
    this.#database.checkFits(state.described);
    this.#states.add(state);
    this.#database.add(state.described);
    return state;
  }

  get #expected(): Expected {
    const { maxParallelism, range } = this;
    return { name: this.#name, maxParallelism, range, keys: this.#space.keys.name };
  }
}
