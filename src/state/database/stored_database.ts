/**
 * What a database says of the state in it: where its entries lie, of which states, keys and group they are.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { boundGroup } from "../../snapshot/mod.ts";
import { decodeHead, type DescribedState, encodeHead, type Head } from "../format/mod.ts";
import type { KeySpace } from "../key_space.ts";
import type { DurablyApplied } from "../machine.ts";
import { decodeApplied, encodeApplied } from "./applied_record.ts";
import type { Change, Engine } from "./engine.ts";
import { dropStates } from "./stored_drop.ts";
import {
  appliedKey,
  groupChange,
  groupKey,
  groupNameKey,
  groupNameOf,
  metaKey,
  metaValue,
  type Slot,
  splitMeta,
} from "./stored_keys.ts";

/** What was there when a database was opened. */
export interface OpenedDatabase<K> {
  /** The database. */
  readonly database: StoredDatabase<K>;
  /** True if there is no state in it. */
  readonly isEmpty: boolean;
  /** Up to which entry of a log it has the state; nothing if it does not say. */
  readonly applied: DurablyApplied | undefined;
}

/** A database, and what it says of the state in it. */
export class StoredDatabase<K> {
  /** The database itself. */
  readonly engine: Engine;
  /** The part of it that has the state; a load fills the other one. */
  slot: Slot;
  /** The group whose state it is, if that is known. */
  group: string | undefined;
  /** The states that it has, or will have with the next write, by their names. */
  readonly known: Map<string, DescribedState>;
  readonly #space: KeySpace<K>;
  /** True if one of them is not described in it yet. */
  #undescribed = true;

  private constructor(
    engine: Engine,
    space: KeySpace<K>,
    slot: Slot,
    known: readonly DescribedState[],
    group: string | undefined,
  ) {
    this.engine = engine;
    this.#space = space;
    this.slot = slot;
    this.known = new Map(known.map((state) => [state.name, state]));
    this.group = group;
  }

  /**
   * Reads what a database says.
   *
   * @param engine the database
   * @param space the keys, which must be those of the state in it
   * @param drop the names of states to be deleted from it
   * @throws {SnapshotError} `MALFORMED` if it has something else
   */
  static async open<K>(engine: Engine, space: KeySpace<K>, drop?: readonly string[]): Promise<OpenedDatabase<K>> {
    const { keys, maxParallelism, range } = space;
    const [value, applied, named] = await engine.getMany([metaKey(), appliedKey(), groupNameKey()]);
    const group = groupNameOf(named);
    if (value === undefined) {
      return { database: new StoredDatabase(engine, space, 0, [], group), isEmpty: true, applied: undefined };
    }
    const meta = splitMeta(value);
    if (meta === undefined) throw misfit("it is not keyed state");
    const head = decodeHead(meta.head, "the database");
    if (head.keys !== keys.name) throw misfit(`its keys are ${head.keys}, not ${keys.name}`);
    if (
      head.maxParallelism !== maxParallelism || head.range.first !== range.first || head.range.last !== range.last
    ) {
      throw misfit(`it has the key groups ${head.range.first} to ${head.range.last} of ${head.maxParallelism}`);
    }
    const known = await dropStates(engine, meta, head, drop);
    const database = new StoredDatabase(engine, space, meta.slot, known, group);
    return { database, isEmpty: false, applied: applied && decodeApplied(applied) };
  }

  /**
   * Checks a state that is declared.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if what the database has of it is of another kind or codec
   */
  checkFits(described: DescribedState): void {
    const { name, kind, codec, version } = described;
    const known = this.known.get(name);
    if (known === undefined || JSON.stringify(known) === JSON.stringify(described)) return;
    throw new SnapshotError(
      "UNSUPPORTED",
      `The database has a ${known.kind} state ${JSON.stringify(name)} of ${known.codec}, version ${known.version}, ` +
        `not a ${kind} state of ${codec}, version ${version}: load a snapshot of it into a new one`,
      { expected: codec, actual: known.codec },
    );
  }

  /** Adds a state that is declared: the next write describes it. */
  add(described: DescribedState): void {
    this.known.set(described.name, described);
    this.#undescribed = true;
  }

  /** The head of a file that has these states. */
  head(states: readonly DescribedState[]): Omit<Head, "buildsUpon"> {
    const { maxParallelism, range, keys } = this.#space;
    return { maxParallelism, range, keys: keys.name, states };
  }

  /**
   * Writes changes in one go; to be told of states, or that there is a durable index, the database gets a new head with
   * them.
   *
   * @param changes the changes
   * @param hasApplied whether it has a durable index from then on
   * @param hadApplied whether it has one already
   */
  async write(changes: readonly Change[], hasApplied: boolean, hadApplied: boolean): Promise<void> {
    if (!this.#undescribed && hasApplied === hadApplied) await this.engine.write(changes);
    else await this.describe(this.slot, [...this.known.values()], changes, hasApplied);
  }

  /** Writes changes, and with them where the state lies, of which states it is, and whether it has a durable index. */
  async describe(
    slot: Slot,
    states: readonly DescribedState[],
    changes: readonly Change[],
    hasApplied: boolean,
  ): Promise<void> {
    const head = encodeHead({ ...this.head(states), buildsUpon: undefined });
    this.#undescribed = false; // now: a state may be declared while this is written
    try {
      await this.engine.write([{ key: metaKey(), value: metaValue(slot, hasApplied, head) }, ...changes]);
    } catch (error) {
      this.#undescribed = true;
      throw error;
    }
  }

  /** Deletes what a slot has. */
  async clear(slot: Slot): Promise<void> {
    await this.engine.clear(Uint8Array.of(slot), groupKey(slot, 0x1_0000));
  }

  /**
   * The group after it is bound to one.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it is bound to another, `MALFORMED` if that is no name of one
   */
  groupAs(group: string): string {
    return boundGroup(this.group, group, "The state in the database");
  }

  /** Binds it to a group for good. */
  async bindGroup(group: string): Promise<void> {
    if (group === this.group) return;
    await this.engine.write([groupChange(group)]);
    this.group = group;
  }
}

/** Has the database say which entries it has; or, with nothing, that this is not known. */
export function appliedChange(applied: DurablyApplied | undefined): Change {
  return { key: appliedKey(), value: applied && encodeApplied(applied) };
}

function misfit(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `The state in the database is another one: ${what}`);
}
