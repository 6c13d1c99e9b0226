/**
 * Which entries of a state in a database were changed since the last committed snapshot.
 *
 * @module
 */

/** So many are remembered, and of so many bytes together; beyond that the next save is a full one. */
const MAX_KEYS = 1_000_000;
const MAX_BYTES = 128 * 1024 * 1024;

/**
 * Keys by key group and state. A key is kept as a text of one character for each byte: an array would take three times
 * that.
 */
export class ChangedKeys {
  readonly #groups = new Map<number, Map<string, Set<string>>>();
  #size = 0;
  #bytes = 0;
  #tooMany = false;

  /** The number of keys; nothing if there were too many to keep. */
  get size(): number | undefined {
    return this.#tooMany ? undefined : this.#size;
  }

  /** Adds one. */
  add(keyGroup: number, state: string, key: string): void {
    if (this.#tooMany) return;
    let states = this.#groups.get(keyGroup);
    if (states === undefined) this.#groups.set(keyGroup, states = new Map());
    let keys = states.get(state);
    if (keys === undefined) states.set(state, keys = new Set());
    const before = keys.size;
    keys.add(key);
    if (keys.size === before) return;
    this.#size++;
    this.#bytes += key.length;
    if (this.#size > MAX_KEYS || this.#bytes > MAX_BYTES) this.#forget();
  }

  /** Adds those of another one. */
  addAll(other: ChangedKeys): void {
    if (other.#tooMany) this.#forget();
    for (const [keyGroup, states] of other.#groups) {
      for (const [state, keys] of states) for (const key of keys) this.add(keyGroup, state, key);
    }
  }

  /** The states of a key group that have changed keys. */
  of(keyGroup: number): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#groups.get(keyGroup) ?? new Map();
  }

  #forget(): void {
    this.#tooMany = true;
    this.#groups.clear();
  }
}
