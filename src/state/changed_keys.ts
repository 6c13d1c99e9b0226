/**
 * Which entries of a state in a database were changed since the last committed snapshot.
 *
 * @module
 */

/** So many are remembered; beyond that the next save is a full one. */
const MAX_KEYS = 1_000_000;

/** Keys by key group and state. A key is kept as a text of one character for each byte: an array would take three times that. */
export class ChangedKeys {
  readonly #groups = new Map<number, Map<string, Set<string>>>();
  #size = 0;

  /** How many there are; nothing if there were too many. */
  get size(): number | undefined {
    return this.#size <= MAX_KEYS ? this.#size : undefined;
  }

  /** Adds one. */
  add(keyGroup: number, state: string, key: string): void {
    if (this.#size > MAX_KEYS) return;
    let states = this.#groups.get(keyGroup);
    if (states === undefined) this.#groups.set(keyGroup, states = new Map());
    let keys = states.get(state);
    if (keys === undefined) states.set(state, keys = new Set());
    const before = keys.size;
    keys.add(key);
    this.#size += keys.size - before;
    if (this.#size > MAX_KEYS) this.#groups.clear();
  }

  /** Adds those of another one. */
  addAll(other: ChangedKeys): void {
    if (other.size === undefined) {
      this.#groups.clear();
      this.#size = MAX_KEYS + 1;
    }
    for (const [keyGroup, states] of other.#groups) {
      for (const [state, keys] of states) for (const key of keys) this.add(keyGroup, state, key);
    }
  }

  /** The states of a key group that have changed keys. */
  of(keyGroup: number): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#groups.get(keyGroup) ?? new Map();
  }
}

/** Bytes as a text, one character each. */
export function textOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

/** The bytes of such a text. */
export function bytesOfText(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
