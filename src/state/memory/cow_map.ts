/**
 * A map of which a view can be taken at any moment, at no cost.
 *
 * @module
 */

import { checkFunction, has, isOf, unfit } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { hides, Layer, LayerEntries, lookUp } from "./layer.ts";

/** The number of entries that a change folds back: more than one, so that folding ends though every change adds an
 * entry. */
const FOLD_STEPS = 4;

/**
 * A `Map` with {@linkcode snapshot}: a view of the map as it is now, in constant time, whatever its size. Copy on
 * write, by layers: taking a view freezes the layer that is being written to and puts an empty one on top. When the
 * views were released, each change folds a few entries back, until one native `Map` is left.
 *
 * Order, equality of keys and speed are those of `Map`; an entry is no object. Values are to be replaced, not
 * changed: a view has the same values as the map (see {@linkcode update}). Iterating while changing gives each entry
 * that is there all the time once; one that is put or deleted meanwhile may or may not be seen.
 *
 * @category State
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
  /** The layer that is written to: the only one, unless views are open or were until lately. */
  #top: Layer<K, V> = new Layer<K, V>(undefined);
  /** The number of entries; kept only while there are several layers. */
  #size = 0;
  /** Iterations over several layers that are under way: nothing may be moved about under them. */
  readonly #iterations = new Set<LayerEntries<K, V>>();
  /** The number of changes that they have kept from folding. */
  #heldUp = 0;
  /** That layer's entries while it is the only one, for speed; else nothing. */
  #only: Map<K, V> | undefined = this.#top.values;

  /**
   * Makes a map.
   *
   * @param entries what it holds at first
   */
  constructor(entries?: Iterable<readonly [K, V]>) {
    if (entries === undefined) return;
    if (!has(entries, Symbol.iterator, "function")) throw unfit("entries", "an iterable object", entries);
    for (const entry of entries) {
      // A text would be an entry of its first two characters.
      if (typeof entry !== "object" || entry === null) throw unfit("An entry", "a pair of key and value", entry);
      this.set(entry[0], entry[1]);
    }
  }

  /** The number of its entries. */
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

  /** Reports whether there is an entry with this key. */
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
    checkFunction(change, "change");
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
    checkFunction(callback, "callback");
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
   * Moves a few changes from a layer into the one below it, if no view ends there. What is seen from either of them, or
   * from above, stays the same. The lowest such pair first, so that each change is moved once, straight to where it
   * stays: a view that is kept open while others come and go (that of the last committed snapshot) costs one layer
   * more, not one for each of them.
   */
  #fold(): void {
    if (this.#iterations.size > 0 && !this.#detachIterations()) return;
    for (let steps = FOLD_STEPS; steps > 0;) {
      let above: Layer<K, V> | undefined; // of the layer that is looked at, then of the one that is folded down
      let upper: Layer<K, V> | undefined;
      let before: Layer<K, V> | undefined;
      for (let layer = this.#top; layer.below !== undefined && layer.pins === 0; before = layer, layer = layer.below) {
        if (layer.below.views > 0) continue;
        above = before;
        upper = layer;
      }
      if (upper === undefined) return;
      steps = upper.foldDown(steps);
      if (!upper.isEmpty) return;
      const lower = upper.mergeDown();
      if (above === undefined) this.#top = lower;
      else above.below = lower;
      if (this.#top.below === undefined) this.#only = this.#top.values;
    }
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
 * @category State
 * @see {@linkcode CowMap}
 * @typeParam K keys
 * @typeParam V values
 */
export class CowView<K, V> implements Iterable<[K, V]>, Disposable {
  /** The number of its entries. */
  readonly size: number;
  #layer: Layer<K, V> | undefined;
  #pinned = false;

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

  /** Reports whether there was an entry with this key. */
  has(key: K): boolean {
    return this.#open().visible(key);
  }

  /** The entries as they were, in order. Not to be used when the view was released. */
  entries(): IterableIterator<[K, V]> {
    const layer = this.#open();
    if (layer.below === undefined) return layer.values.entries();
    this.#pin(layer);
    return new LayerEntries(layer);
  }

  /** The entries as they were, in order. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /**
   * What was changed between an earlier view of the same map and this one. Not to be used when this view was released.
   *
   * @param earlier open, too
   * @returns what to do, one after the other, to get from the one to the other, with the same order of entries; nothing
   *   if the map was cleared in between, so that the two have nothing in common
   */
  changesSince(earlier: CowView<K, V>): readonly CowChanges<K, V>[] | undefined {
    if (!isOf(earlier, CowView)) throw unfit("earlier", "a CowView", earlier);
    const from = earlier.#open();
    const changes: CowChanges<K, V>[] = [];
    let layer: Layer<K, V> | undefined = this.#open();
    this.#pin(layer);
    for (; layer !== from; layer = layer.below) {
      if (layer === undefined) return undefined;
      if (!layer.isEmpty) changes.unshift({ deleted: layer.deleted, put: layer.values });
    }
    return changes;
  }

  /** Another view of the same, to be released by itself. */
  share(): CowView<K, V> {
    return new CowView(this.#open(), this.size);
  }

  /** Lets the view go; once is enough, and more does no harm. */
  release(): void {
    if (this.#layer === undefined) return;
    const layer = this.#open();
    layer.views--;
    if (this.#pinned) layer.pins--;
    this.#layer = undefined;
  }

  /** As {@linkcode release}. */
  [Symbol.dispose](): void {
    this.release();
  }

  #open(): Layer<K, V> {
    if (this.#layer === undefined) throw new SnapshotError("CLOSED", "The view of the map was released");
    while (this.#layer.mergedInto !== undefined) this.#layer = this.#layer.mergedInto;
    return this.#layer;
  }

  /** Keeps the layers of the view as they are, while somebody walks over them. */
  #pin(layer: Layer<K, V>): void {
    if (this.#pinned) return;
    this.#pinned = true;
    layer.pins++;
  }
}

/**
 * Changes of a {@linkcode CowMap}: first the keys that were deleted, then what was put.
 *
 * @category State
 */
export interface CowChanges<K, V> {
  /** Keys that were deleted; also those that were put again afterwards, at the end. */
  readonly deleted: ReadonlySet<K>;
  /** Entries that were put, in order. */
  readonly put: ReadonlyMap<K, V>;
}
