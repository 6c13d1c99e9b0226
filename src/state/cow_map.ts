/**
 * A map of which a view can be taken at any moment, at no cost.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { hides, Layer, LayerEntries, lookUp } from "./layer.ts";

/** How many entries a change folds back. More than one, so that folding ends though every change adds an entry. */
const FOLD_STEPS = 4;

/**
 * A `Map` with {@linkcode snapshot}: a view of the map as it is now, in constant time, whatever its size. Copy on
 * write, by layers: taking a view freezes the layer that is being written to and puts an empty one on top. When the views
 * were released, each change folds a few entries back, until one native `Map` is left.
 *
 * Order, equality of keys and speed are those of `Map`; an entry is no object. Values are to be replaced, not
 * changed: a view has the same values as the map (see {@linkcode update}). Iterating while changing gives each entry
 * that is there all the time once; one that is put or deleted meanwhile may or may not be seen.
 *
 * @typeParam K keys
 * @typeParam V values
 *
 * @example
 * ```ts
 * import { CowMap } from "@snapstream/snapstream";
 *
 * const map = new CowMap([["a", 1], ["b", 2]]);
 * const view = map.snapshot();
 * map.set("a", 10).delete("b");
 * console.assert([...view].join() === "a,1,b,2" && [...map].join() === "a,10");
 * view.release();
 * ```
 */
export class CowMap<K, V> implements Iterable<[K, V]> {
  /** What is written to. The only layer, unless views are open or were until lately. */
  #top: Layer<K, V> = new Layer<K, V>(undefined);
  /** The number of entries; kept only while there are several layers. */
  #size = 0;
  /** Iterations over several layers that are under way: nothing may be moved about under them. */
  readonly #iterations = new Set<LayerEntries<K, V>>();
  /** How many changes they have kept from folding. */
  #heldUp = 0;
  /** That layer's entries while it is the only one, for speed; else nothing. */
  #only: Map<K, V> | undefined = this.#top.values;

  /**
   * Makes a map.
   *
   * @param entries what it holds at first
   */
  constructor(entries?: Iterable<readonly [K, V]>) {
    if (entries !== undefined) { for (const [key, value] of entries) this.set(key, value); }
  }

  /** How many entries it has. */
  get size(): number {
    return this.#only === undefined ? this.#size : this.#only.size;
  }

  /** The value of a key. */
  get(key: K): V | undefined {
    if (this.#only !== undefined) return this.#only.get(key);
    const top = this.#top;
    if (!top.isEmpty) {
      const value = top.values.get(key);
      if (value !== undefined || hides(top, key)) return value;
    }
    return lookUp(top.below!, key);
  }

  /** Whether there is an entry with this key. */
  has(key: K): boolean {
    return this.#only === undefined ? this.#top.visible(key) : this.#only.has(key);
  }

  /** Puts an entry. */
  set(key: K, value: V): this {
    if (this.#only === undefined) this.#setOnTop(key, value);
    else this.#only.set(key, value);
    return this;
  }

  /** Takes an entry away; whether there was one. */
  delete(key: K): boolean {
    if (this.#only !== undefined) return this.#only.delete(key);
    const top = this.#top;
    const inTop = top.values.delete(key);
    const below = top.visibleBelow(key);
    if (below) top.deleted.add(key);
    if (inTop || below) this.#size--;
    this.#fold();
    return inTop || below;
  }

  /**
   * Replaces a value by one made of it.
   *
   * @param key the key
   * @param change makes the new value of the old one, which it must leave as it is
   * @returns the new value
   */
  update(key: K, change: (value: V | undefined) => V): V {
    const value = change(this.get(key));
    this.set(key, value);
    return value;
  }

  /** Takes all entries away; in constant time. */
  clear(): void {
    this.#top = new Layer<K, V>(undefined); // the views keep what they need
    this.#only = this.#top.values;
  }

  /** Calls back for each entry. */
  forEach(callback: (value: V, key: K, map: CowMap<K, V>) => void): void {
    for (const [key, value] of this) callback(value, key, this);
  }

  /** The entries, in the order in which they were put first. */
  entries(): IterableIterator<[K, V]> {
    if (this.#only !== undefined) return this.#only.entries();
    const entries: LayerEntries<K, V> = new LayerEntries(this.#top, () => this.#iterations.delete(entries));
    this.#iterations.add(entries);
    return entries;
  }

  /** The keys. */
  *keys(): IterableIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  /** The values. */
  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  /** The entries. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /** A view of the map as it is now. Constant time. To be released. */
  snapshot(): CowView<K, V> {
    let frozen = this.#top;
    if (frozen.below !== undefined && frozen.isEmpty) {
      frozen = frozen.below; // nothing was changed since the last view: the same layers will do
    } else {
      this.#size = this.size;
      this.#top = new Layer<K, V>(frozen);
      this.#only = undefined;
    }
    return new CowView<K, V>(frozen, this.#size);
  }

  #setOnTop(key: K, value: V): void {
    const top = this.#top;
    const before = top.values.size;
    top.put(key, value);
    if (top.values.size !== before && !top.visibleBelow(key)) this.#size++;
    this.#fold();
  }

  /**
   * Moves a few changes from the top layer into the one below it, if no view ends there. Open views see only what
   * lies further down, so that this changes nothing for them.
   */
  #fold(): void {
    if (this.#top.below!.views > 0 || (this.#iterations.size > 0 && !this.#detachIterations())) return;
    let steps = FOLD_STEPS;
    for (let lower = this.#top.below; lower !== undefined && lower.views === 0; lower = lower.below) {
      steps = this.#top.foldDown(steps);
      if (!this.#top.isEmpty) return;
      this.#top = lower;
    }
    if (this.#top.below === undefined) this.#only = this.#top.values;
  }

  /**
   * Sets aside, for iterations that were left in the middle (`map.keys().next()`), what they have not given yet: they
   * would keep everything from folding for ever. Not before so many changes that this costs each of them an entry.
   */
  #detachIterations(): boolean {
    if (this.#heldUp++ < this.#size) return false;
    this.#heldUp = 0;
    for (const entries of this.#iterations) entries.detach();
    return true;
  }
}

/**
 * A map as it was when the view was taken. Several may be open; each keeps the memory of what was changed since.
 *
 * @typeParam K keys
 * @typeParam V values
 */
export class CowView<K, V> implements Iterable<[K, V]>, Disposable {
  /** How many entries it has. */
  readonly size: number;
  #layer: Layer<K, V> | undefined;

  /** Made by {@linkcode CowMap.snapshot}. */
  constructor(layer: Layer<K, V>, size: number) {
    layer.views++;
    this.#layer = layer;
    this.size = size;
  }

  /** The value that a key had. */
  get(key: K): V | undefined {
    return lookUp(this.#open(), key);
  }

  /** Whether there was an entry with this key. */
  has(key: K): boolean {
    return this.#open().visible(key);
  }

  /** The entries as they were, in order. Not to be used when the view was released. */
  entries(): IterableIterator<[K, V]> {
    const layer = this.#open();
    return layer.below === undefined ? layer.values.entries() : new LayerEntries(layer);
  }

  /** The entries as they were, in order. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /** Lets the view go; once is enough, and more does no harm. */
  release(): void {
    if (this.#layer === undefined) return;
    this.#layer.views--;
    this.#layer = undefined;
  }

  /** As {@linkcode release}. */
  [Symbol.dispose](): void {
    this.release();
  }

  #open(): Layer<K, V> {
    if (this.#layer === undefined) throw new SnapshotError("CLOSED", "The view of the map was released");
    return this.#layer;
  }
}
