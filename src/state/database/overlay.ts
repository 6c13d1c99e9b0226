/**
 * Changes that are not in a store yet, and a view of the store as it will be with them.
 *
 * @module
 */

import { compareBytes, textOfBytes } from "../../stream/mod.ts";
import type { Change, Pair, Readable } from "./engine.ts";

/** A change of an entry of a state. */
export interface StateChange extends Change {
  /** The key group of the entry. */
  readonly keyGroup: number;
  /** The name of the state. */
  readonly state: string;
  /** The key in the state. */
  readonly entryKey: Uint8Array;
}

/** Changes by key; of several to one key only the last counts. */
export class Overlay {
  readonly #changes = new Map<string, StateChange>();
  #bytes = 0;

  /** The number of its keys. */
  get size(): number {
    return this.#changes.size;
  }

  /** About how many bytes it takes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The changes that are to be written. */
  get changes(): readonly StateChange[] {
    return [...this.#changes.values()];
  }

  /** Adds a change. */
  add(change: StateChange): void {
    const key = textOfBytes(change.key);
    this.#bytes += bytesOf(change) - bytesOf(this.#changes.get(key));
    this.#changes.set(key, change);
  }

  /** Adds those of a newer one. */
  addAll(newer: Overlay): void {
    for (const change of newer.#changes.values()) this.add(change);
  }

  /** The change of a key, as {@linkcode textOfBytes} writes it. */
  get(key: string): Change | undefined {
    return this.#changes.get(key);
  }

  /** The changes of a range of keys, in no order. */
  *range(from: Uint8Array, to: Uint8Array): Generator<StateChange, void, undefined> {
    for (const change of this.#changes.values()) {
      if (compareBytes(change.key, from) >= 0 && compareBytes(change.key, to) < 0) yield change;
    }
  }
}

function bytesOf(change: Change | undefined): number {
  return change === undefined ? 0 : change.key.length + (change.value?.length ?? 0);
}

/**
 * What a store will have.
 *
 * @param source the store
 * @param layers what is to change in it, the newest first
 */
export function overlaid(source: Readable, layers: readonly Overlay[]): Readable {
  const changed = layers.filter(({ size }) => size > 0);
  if (changed.length === 0) return source;
  return {
    async getMany(keys) {
      const found = keys.map((key) => find(changed, textOfBytes(key)));
      const missing = keys.filter((_, i) => found[i] === undefined);
      const values = (missing.length === 0 ? [] : await source.getMany(missing)).values();
      return found.map((change) => change === undefined ? values.next().value : change.value);
    },
    async *entries(from, to) {
      const latest = new Overlay();
      for (const layer of [...changed].reverse()) for (const change of layer.range(from, to)) latest.add(change);
      if (latest.size === 0) yield* source.entries(from, to);
      else yield* merged(source.entries(from, to), latest);
    },
  };
}

function find(layers: readonly Overlay[], key: string): Change | undefined {
  for (const layer of layers) {
    const change = layer.get(key);
    if (change !== undefined) return change;
  }
  return undefined;
}

/** Entries in order, with changes in their places among them. */
async function* merged(
  source: AsyncIterable<readonly Pair[]>,
  overlay: Overlay,
): AsyncGenerator<readonly Pair[], void, undefined> {
  const changes = [...overlay.changes].sort((a, b) => compareBytes(a.key, b.key));
  let next = 0;
  for await (const pairs of source) {
    const out: Pair[] = [];
    for (const pair of pairs) {
      let replaced = false;
      for (; next < changes.length; next++) {
        const order = compareBytes(changes[next]!.key, pair[0]);
        if (order > 0) break;
        push(out, changes[next]!);
        replaced = order === 0;
      }
      if (!replaced) out.push(pair);
    }
    if (out.length > 0) yield out;
  }
  const rest: Pair[] = [];
  while (next < changes.length) push(rest, changes[next++]!);
  if (rest.length > 0) yield rest;
}

function push(pairs: Pair[], { key, value }: Change): void {
  if (value !== undefined) pairs.push([key, value]);
}
