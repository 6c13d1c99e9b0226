/**
 * The states that a keyed state can hold for each key: a value, a list, or a map. In memory they are synchronous, in a
 * database asynchronous.
 *
 * @category State
 * @see {@linkcode KeyedState}
 *
 * @module
 */

/**
 * A value for each key, in memory: Flink's `ValueState`. A key of another worker is `MALFORMED` in each method.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export interface ValueState<K, V> {
  /** Its name. */
  readonly name: string;
  /** The number of values. */
  readonly size: number;
  /** The value of a key. Must not be changed, only replaced. */
  get(key: K): V | undefined;
  /** Reports whether there is a value for a key. */
  has(key: K): boolean;
  /** Puts a value. */
  set(key: K, value: V): void;
  /** Replaces a value by one made of it, and returns the new one. */
  update(key: K, change: (value: V | undefined) => V): V;
  /** Deletes the value of a key; returns whether there was one. */
  delete(key: K): boolean;
  /** The entries by key group, within each in the order in which they were first put. The same on every replica. */
  entries(): IterableIterator<[K, V]>;
}

/**
 * A list for each key, in memory: Flink's `ListState`.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export interface ListState<K, T> {
  /** Its name. */
  readonly name: string;
  /** The number of lists. */
  readonly size: number;
  /** The items of a key; a copy. */
  get(key: K): T[];
  /** Adds items at the end. */
  add(key: K, ...added: readonly T[]): void;
  /** Replaces the items of a key; without items there is no list. */
  set(key: K, items: readonly T[]): void;
  /** Deletes the list of a key; returns whether there was one. */
  delete(key: K): boolean;
  /** The keys that have a list, and copies of the lists, in the order of {@linkcode ValueState.entries}. */
  entries(): IterableIterator<[K, T[]]>;
}

/**
 * A map for each key, in memory: Flink's `MapState`. Each of its entries is changed, and saved, by itself.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export interface MapState<K, UK, V> {
  /** Its name. */
  readonly name: string;
  /** The number of entries of all maps. */
  readonly size: number;
  /** A value of the map of a key. Must not be changed, only replaced. */
  get(key: K, userKey: UK): V | undefined;
  /** Reports whether the map of a key has an entry. */
  has(key: K, userKey: UK): boolean;
  /** Puts an entry into the map of a key. */
  set(key: K, userKey: UK, value: V): void;
  /** Deletes an entry of the map of a key; returns whether there was one. */
  delete(key: K, userKey: UK): boolean;
  /** The entries of the map of a key, in the order in which they were first put. */
  entries(key: K): IterableIterator<[UK, V]>;
  /**
   * The keys that have a map, by key group, within each by the oldest entry of their maps. The same on every replica.
   */
  keys(): IterableIterator<K>;
  /** Deletes the map of a key; returns whether there was one. */
  clear(key: K): boolean;
}

/** A value for each key, in a database. A change is in the database when its promise resolves. */
export interface StoredValue<K, V> {
  /** Its name. */
  readonly name: string;
  /** The value of a key. */
  get(key: K): Promise<V | undefined>;
  /** Puts a value. */
  set(key: K, value: V): Promise<void>;
  /** Deletes the value of a key. */
  delete(key: K): Promise<void>;
  /** The entries as they are now, by key group, within each in the order of the bytes of the keys. */
  entries(): AsyncGenerator<[K, V], void, undefined>;
}

/** A list for each key, in a database. */
export interface StoredList<K, T> {
  /** Its name. */
  readonly name: string;
  /** The items of a key. */
  get(key: K): Promise<T[]>;
  /** Adds items at the end. */
  add(key: K, ...added: readonly T[]): Promise<void>;
  /** Replaces the items of a key; without items there is no list. */
  set(key: K, items: readonly T[]): Promise<void>;
  /** Deletes the list of a key. */
  delete(key: K): Promise<void>;
  /** The keys that have a list, and the lists, in the order of {@linkcode StoredValue.entries}. */
  entries(): AsyncGenerator<[K, T[]], void, undefined>;
}

/** A map for each key, in a database. */
export interface StoredMap<K, UK, V> {
  /** Its name. */
  readonly name: string;
  /** A value of the map of a key. */
  get(key: K, userKey: UK): Promise<V | undefined>;
  /** Puts an entry into the map of a key. */
  set(key: K, userKey: UK, value: V): Promise<void>;
  /** Deletes an entry of the map of a key. */
  delete(key: K, userKey: UK): Promise<void>;
  /** The entries of the map of a key, in the order of the bytes of the map's own keys. */
  entries(key: K): AsyncGenerator<[UK, V], void, undefined>;
}
