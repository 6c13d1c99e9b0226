/**
 * A layer of a copy-on-write map: what was put and deleted since the layer below it was frozen.
 *
 * @module
 */

/** One layer. The lowest holds all entries of its time; each other one what changed. */
export class Layer<K, V> {
  /**
   * What was put. A key that is visible below stays at its place there; a new one, or one that was deleted here
   * and put again, has its place here.
   */
  readonly values: Map<K, V> = new Map();
  /** Keys visible below that were deleted; also those that were put again afterwards. */
  readonly deleted: Set<K> = new Set();
  /** The layer under this one. */
  below: Layer<K, V> | undefined;
  /** Where everything of this layer, and its views, went. */
  mergedInto: Layer<K, V> | undefined;
  /** True if a value was ever `undefined`: only then must a key without a value be looked up once more. */
  holdsUndefined = false;
  /** The number of open views that have this as their topmost layer. */
  views = 0;
  /** The number of them that were iterated over: this layer, and those under it, must stay as they are. */
  pins = 0;
  // Kept from step to step: a new iterator would walk over all that was deleted at the front, each time.
  #values: Iterator<[K, V]> | undefined;
  #deleted: Iterator<K> | undefined;

  /** @param below what lies under it; nothing for the lowest */
  constructor(below: Layer<K, V> | undefined) {
    this.below = below;
  }

  /** True if nothing changed here. */
  get isEmpty(): boolean {
    return this.values.size === 0 && this.deleted.size === 0;
  }

  /** Puts an entry. */
  put(key: K, value: V): void {
    this.values.set(key, value);
    if (value === undefined) this.holdsUndefined = true;
  }

  /** Reports whether a key has a value, here or below. */
  visible(key: K): boolean {
    return this.values.has(key) || this.visibleBelow(key);
  }

  /** Reports whether a key has a value below that was not deleted here. */
  visibleBelow(key: K): boolean {
    // deno-lint-ignore no-this-alias -- a walk down
    for (let layer: Layer<K, V> = this; layer.below !== undefined;) {
      if (layer.deleted.size > 0 && layer.deleted.has(key)) return false;
      layer = layer.below;
      if (layer.values.has(key)) return true;
    }
    return false;
  }

  /** Applies up to `steps` changes to the layer below, and forgets them here. Returns how many steps are left. */
  foldDown(steps: number): number {
    const below = this.below!;
    // Deletions first: a key that was put again has then no place below, and gets its new one in its turn.
    for (; steps > 0 && this.deleted.size > 0; steps--) {
      const next = (this.#deleted ??= this.deleted.values()).next();
      if (next.done) {
        this.#deleted = undefined; // came to the end before the last were added
        continue;
      }
      below.values.delete(next.value);
      if (below.visibleBelow(next.value)) below.deleted.add(next.value);
      this.deleted.delete(next.value);
    }
    for (; steps > 0 && this.values.size > 0; steps--) {
      const next = (this.#values ??= this.values.entries()).next();
      if (next.done) {
        this.#values = undefined;
        continue;
      }
      const [key, value] = next.value;
      below.put(key, value);
      this.values.delete(key);
    }
    return steps;
  }

  /** Gives what is left of an empty layer, its views, to the one below it. */
  mergeDown(): Layer<K, V> {
    const below = this.below!;
    below.views += this.views;
    this.mergedInto = below;
    return below;
  }
}

/** The value of a key, seen from a layer. */
export function lookUp<K, V>(from: Layer<K, V>, key: K): V | undefined {
  for (let layer: Layer<K, V> | undefined = from; layer !== undefined; layer = layer.below) {
    const value = layer.values.get(key);
    if (value !== undefined || (layer.below !== undefined && hides(layer, key))) return value;
  }
  return undefined;
}

/** Reports whether a layer that gives no value for a key has one all the same (`undefined`), or has deleted it. */
export function hides<K, V>(layer: Layer<K, V>, key: K): boolean {
  return (layer.deleted.size > 0 && layer.deleted.has(key)) || (layer.holdsUndefined && layer.values.has(key));
}

/** An entry as the layers above show it; nothing if it was deleted there. */
function seenThrough<K, V>(layers: readonly Layer<K, V>[], from: number, entry: [K, V]): [K, V] | undefined {
  const [key] = entry;
  let seen = entry;
  for (let i = from; i < layers.length; i++) {
    const { values, deleted } = layers[i]!;
    if (deleted.size > 0 && deleted.has(key)) return undefined;
    const value = values.get(key);
    if (value !== undefined || values.has(key)) seen = [key, value as V];
  }
  return seen;
}

/**
 * All entries, seen from a layer, in the order of a `Map` to which all layers were applied. Written out, since a
 * generator takes three times as long for each.
 */
export class LayerEntries<K, V> implements IterableIterator<[K, V]> {
  #layers: Layer<K, V>[] = [];
  #onEnd: (() => void) | undefined;
  /** The layer that is being walked over, from the lowest up. */
  #i = 0;
  #entries: Iterator<[K, V], undefined>;

  /**
   * @param top from where
   * @param onEnd called once, when nothing of the layers is needed any more
   */
  constructor(top: Layer<K, V>, onEnd?: () => void) {
    for (let layer: Layer<K, V> | undefined = top; layer !== undefined; layer = layer.below) {
      this.#layers.unshift(layer);
    }
    this.#onEnd = onEnd;
    this.#entries = this.#layers[0]!.values.entries();
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<[K, V], undefined> {
    for (;;) {
      const layers = this.#layers;
      const i = this.#i;
      const result = this.#entries.next();
      if (result.done) {
        if (i + 1 >= layers.length) return this.return();
        this.#entries = layers[++this.#i]!.values.entries();
        continue;
      }
      if (i > 0 && layers[i]!.visibleBelow(result.value[0])) continue; // it has its place further down
      let unchanged = true;
      for (let above = i + 1; above < layers.length; above++) unchanged &&= layers[above]!.isEmpty;
      if (unchanged) return result;
      const seen = seenThrough(layers, i + 1, result.value);
      if (seen !== undefined) return { done: false, value: seen };
    }
  }

  return(): IteratorReturnResult<undefined> {
    this.#giveFrom([]);
    return { done: true, value: undefined };
  }

  /** Copies what is still to be given, and lets the layers go. */
  detach(): void {
    this.#giveFrom([...this]);
  }

  #giveFrom(rest: [K, V][]): void {
    this.#layers = [];
    this.#i = 0;
    this.#entries = rest.values();
    this.#onEnd?.();
    this.#onEnd = undefined;
  }
}
