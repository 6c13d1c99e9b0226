/**
 * The states that a program declares, and the further ones in its snapshots.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { Block } from "./codecs/mod.ts";
import { type DescribedState, encodeHead, type Head, MAX_HEAD } from "./format/mod.ts";
import { textOfBytes } from "../stream/mod.ts";

/** The most keys of undeclared states that are remembered until a later file deletes them. */
const MAX_KEYS = 1_000_000;

/** A state that can be declared. */
interface Declarable {
  /** Its description in a file. */
  readonly described: DescribedState;
}

/** The states that are declared, by name. */
export class DeclaredStates<S extends Declarable> {
  readonly #states = new Map<string, S>();
  readonly #drop: ReadonlySet<string>;
  readonly #keys: string;
  /** The most bytes that they take in the header of a file. */
  #bytes = 0;

  /**
   * @param keys the name of the codec of the keys
   * @param drop the names of states that are dropped
   */
  constructor(keys: string, drop: readonly string[] = []) {
    this.#keys = keys;
    this.#drop = new Set(drop);
  }

  /** The number of declared states. */
  get size(): number {
    return this.#states.size;
  }

  /**
   * Declares a state.
   *
   * @throws {SnapshotError} `MALFORMED` if there is one with its name, which may be dropped; or if no header of a file
   *   can
   *   describe it
   */
  add<T extends S>(state: T): T {
    const { described } = state;
    const { name } = described;
    const named = `state called ${JSON.stringify(name)}`;
    if (this.#states.has(name)) throw new SnapshotError("MALFORMED", `There is a ${named} already`);
    if (this.#drop.has(name)) throw new SnapshotError("MALFORMED", `A ${named} cannot be declared and dropped`);
    // A state that no header can hold is refused here, not by each save.
    const head = { maxParallelism: 1, range: { first: 0, last: 0 }, keys: this.#keys, states: [described] };
    const bytes = encodeHead({ ...head, buildsUpon: undefined }).length;
    if (this.#bytes + bytes > MAX_HEAD) {
      throw new SnapshotError("MALFORMED", `The ${named} is one too many: no head of a file can hold them`);
    }
    this.#bytes += bytes;
    this.#states.set(name, state);
    return state;
  }

  /** The state with a name. */
  get(name: string): S | undefined {
    return this.#states.get(name);
  }

  /** Reports whether the state with a name is dropped. */
  isDropped(name: string): boolean {
    return this.#drop.has(name);
  }

  /** All states, in the order in which they were declared. */
  values(): IterableIterator<S> {
    return this.#states.values();
  }

  /** The states of a file; nothing in the place of one that is not declared. */
  of(head: Head): readonly (S | undefined)[] {
    return head.states.map(({ name }) => this.#states.get(name));
  }

  /** A check of the entries of all other states while snapshots are read. */
  undeclared(): UndeclaredStates {
    return new UndeclaredStates((name) => this.isDropped(name));
  }
}

/**
 * The undeclared states of snapshots. Such a state is no obstacle if it is empty, or dropped. A later delta may delete
 * its entries in a base, so keys are remembered until the last file.
 */
export class UndeclaredStates {
  /** True if a state that is dropped had entries. */
  dropped = false;
  readonly #isDropped: (name: string) => boolean;
  /** The keys of a state in a key group. */
  readonly #keys = new Map<string, Set<string>>();
  #count = 0;
  #name = "";
  #current: Set<string> | undefined;

  /** @param isDropped reports whether the state with a name is dropped */
  constructor(isDropped: (name: string) => boolean) {
    this.#isDropped = isDropped;
  }

  /** Begins the entries of a key group and a state, which replace those before if `replaces`. */
  section(keyGroup: number, name: string, replaces: boolean): void {
    this.#name = name;
    this.#current = undefined;
    if (this.#isDropped(name)) return;
    const place = `${keyGroup} ${name}`;
    const keys = this.#keys.get(place) ?? new Set();
    this.#keys.set(place, this.#current = keys);
    if (!replaces) return;
    this.#count -= keys.size;
    keys.clear();
  }

  /**
   * Counts an entry.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if it is in the only file, so that no later file deletes it, or if there are
   *   too many
   */
  put(block: Block, keyStart: number, keyEnd: number, isOnly: boolean): void {
    if (this.#current === undefined) {
      this.dropped = true;
      return;
    }
    if (isOnly || this.#count >= MAX_KEYS) throw undeclared(this.#name);
    const { size } = this.#current;
    this.#current.add(textOfBytes(block.bytes.subarray(keyStart, keyEnd)));
    this.#count += this.#current.size - size;
  }

  /** Counts a deletion of an entry. */
  delete(block: Block, keyStart: number, keyEnd: number): void {
    if (this.#current?.delete(textOfBytes(block.bytes.subarray(keyStart, keyEnd)))) this.#count--;
  }

  /**
   * Checks the states when all files were read.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if a state has entries
   */
  check(): void {
    for (const [place, keys] of this.#keys) {
      if (keys.size > 0) throw undeclared(place.slice(place.indexOf(" ") + 1));
    }
  }
}

/** The error for a state that has entries and is not declared. */
export function undeclared(name: string, where = "The snapshot"): SnapshotError {
  const quoted = JSON.stringify(name);
  return new SnapshotError(
    "UNSUPPORTED",
    `${where} has entries of a state ${quoted}, which is not declared: declare it, or have it dropped by naming it ` +
      `in the option "drop"`,
    { actual: name },
  );
}
