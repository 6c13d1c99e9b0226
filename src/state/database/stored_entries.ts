/**
 * Reading and changing the entries of a state in a database: by a log, or without one.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import type { KeyCodec } from "../codecs/mod.ts";
import type { KeySpace } from "../key_space.ts";
import { isReplicaCall } from "../replica_call.ts";
import type { SaveTasks } from "../save_tasks.ts";
import type { AppliedChanges } from "./applied_changes.ts";
import { DirectChanges } from "./direct_changes.ts";
import type { Readable } from "./engine.ts";
import { overlaid, type StateChange } from "./overlay.ts";
import type { SavedChanges } from "./saved_changes.ts";
import type { StoredDatabase } from "./stored_database.ts";
import { endOf, prefixOf, splitKey } from "./stored_keys.ts";
import type { AnyStored, StoredOwner } from "./stored_states.ts";

/** The entries, as they will be when all that was changed is in the database. */
export class StoredEntries<K> implements StoredOwner<K> {
  readonly keys: KeyCodec<K>;
  /** True once a replica has asked for the durable index: from then on only its log changes the state. */
  isBound = false;
  /** True while the state is replaced. */
  isLoading = false;
  readonly #space: KeySpace<K>;
  readonly #database: StoredDatabase<K>;
  readonly #log: AppliedChanges;
  readonly #saved: SavedChanges;
  readonly #tasks: SaveTasks;
  readonly #direct: DirectChanges;
  #alone: Promise<unknown> = Promise.resolve();

  /**
   * @param space the keys
   * @param database has them
   * @param log changes them
   * @param saved is told of changes that no log makes
   * @param tasks refuses all when the state is closed
   */
  constructor(
    space: KeySpace<K>,
    database: StoredDatabase<K>,
    log: AppliedChanges,
    saved: SavedChanges,
    tasks: SaveTasks,
  ) {
    this.keys = space.keys;
    this.#space = space;
    this.#database = database;
    this.#log = log;
    this.#saved = saved;
    this.#tasks = tasks;
    this.#direct = new DirectChanges((changes) => this.#writeDirectly(changes));
  }

  /**
   * Checks that the state may be used.
   *
   * @throws {SnapshotError} `CLOSED`; `MALFORMED` if a replica's machine uses it, and has not said what it has
   */
  check(): void {
    this.#tasks.check();
    if (!isReplicaCall() || this.isBound) return;
    throw new SnapshotError(
      "MALFORMED",
      "The machine of a replica uses a state in a database, and does not say by `durable` which entries that has: after a " +
        "restart they would be applied again. Make it by `state.machine(apply)`, or have it say `durable() { return " +
        "state.durable(); }` and apply in `state.apply(entry, work)`",
    );
  }

  /** Waits until nothing is being done {@linkcode alone}. */
  async aloneSettled(): Promise<void> {
    for (let last; last !== this.#alone;) await (last = this.#alone);
  }

  /** Waits until all that no log has changed is in the database. */
  async directSettled(): Promise<void> {
    await this.#direct.settled();
  }

  async read(state: AnyStored<K>, key: K, entryKey: Uint8Array): Promise<Uint8Array | undefined> {
    const stored = concat([this.#prefix(state, this.#groupOf(key)), entryKey]);
    return (await this.#source.getMany([stored]))[0];
  }

  async *entries(
    state: AnyStored<K>,
    key?: K,
    begin: Uint8Array = new Uint8Array(0),
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const { range } = this.#space;
    const { first, last } = key === undefined ? range : { first: this.#groupOf(key), last: this.#groupOf(key) };
    for (let group = first; group <= last; group++) {
      this.check();
      const from = concat([this.#prefix(state, group), begin]);
      for await (const pairs of this.#source.entries(from, endOf(from))) {
        for (const [stored, value] of pairs) yield [splitKey(stored).key, value];
      }
    }
  }

  async write(state: AnyStored<K>, key: K, entryKey: Uint8Array, value: Uint8Array | undefined): Promise<void> {
    const keyGroup = this.#groupOf(key);
    if (this.isLoading) throw new SnapshotError("BUSY", "The state is being loaded");
    const stored = concat([this.#prefix(state, keyGroup), entryKey]);
    const change: StateChange = { key: stored, value, keyGroup, state: state.name, entryKey };
    const { scope } = this.#log;
    if (scope !== undefined) scope.add(change);
    else if (this.isBound) throw outside(state.name);
    else await this.#direct.add(change);
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#alone.then(work);
    this.#alone = result.catch(() => {});
    return result;
  }

  async #writeDirectly(changes: readonly StateChange[]): Promise<void> {
    await this.#log.flush(); // or it would be written over what is newer
    this.#log.changedOtherwise();
    const noted = this.#saved.note(changes);
    try {
      await this.#database.write(changes, this.#log.isRecorded, this.#log.isRecorded);
    } finally {
      this.#saved.noteWritten(changes, noted);
    }
  }

  /** The group of a key, which must be kept here. */
  #groupOf(key: K): number {
    this.check();
    return this.#space.ownGroup(key);
  }

  /** Returns the prefix of a state's keys in a key group. */
  #prefix(state: AnyStored<K>, keyGroup: number): Uint8Array {
    return prefixOf(this.#database.slot, keyGroup, state.nameBytes);
  }

  /** The database as it will be. */
  get #source(): Readable {
    const { scope, unwritten } = this.#log;
    return overlaid(this.#database.engine, scope === undefined ? unwritten : [scope, ...unwritten]);
  }
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
