/**
 * What a keyed state can hold for each key: one value, a list, or a map; in memory at once, in a database awaited.
 *
 * @module
 */

/** One value for each key, in memory: Flink's `ValueState`. A key of another worker is `MALFORMED` everywhere. */
export interface ValueState<K, V> {
  /** Its name. */
  readonly name: string;
  /** How many values there are. */
  readonly size: number;
  /** The value of a key. Not to be changed, but to be replaced. */
  get(key: K): V | undefined;
  /** Whether there is a value for a key. */
  has(key: K): boolean;
  /** Puts a value. */
  set(key: K, value: V): void;
  /** Replaces a value by one made of it, and returns the new one. */
  update(key: K, change: (value: V | undefined) => V): V;
  /** Takes a value away; whether there was one. */
  delete(key: K): boolean;
  /** The entries: by key groups, in each in the order in which they were put first. The same on every replica. */
  entries(): IterableIterator<[K, V]>;
}

/** A list for each key, in memory: Flink's `ListState`. */
export interface ListState<K, T> {
  /** Its name. */
  readonly name: string;
  /** How many lists there are. */
  readonly size: number;
  /** The items of a key; a copy. */
  get(key: K): T[];
  /** Adds items at the end. */
  add(key: K, ...added: readonly T[]): void;
  /** Replaces the items of a key; without items there is no list. */
  set(key: K, items: readonly T[]): void;
  /** Takes the list of a key away; whether there was one. */
  delete(key: K): boolean;
  /** The keys that have a list, and the lists, copied: in the order of {@linkcode ValueState.entries}. */
  entries(): IterableIterator<[K, T[]]>;
}

/** A map for each key, in memory: Flink's `MapState`. Each of its entries is changed, and saved, by itself. */
export interface MapState<K, UK, V> {
  /** Its name. */
  readonly name: string;
  /** How many entries all maps have. */
  readonly size: number;
  /** A value of the map of a key. Not to be changed, but to be replaced. */
  get(key: K, userKey: UK): V | undefined;
  /** Whether the map of a key has an entry. */
  has(key: K, userKey: UK): boolean;
  /** Puts an entry into the map of a key. */
  set(key: K, userKey: UK, value: V): void;
  /** Takes an entry out of the map of a key; whether there was one. */
  delete(key: K, userKey: UK): boolean;
  /** The entries of the map of a key, in the order in which they were put first. */
  entries(key: K): IterableIterator<[UK, V]>;
  /** The keys that have a map: by key groups, in each by the oldest entry of their maps. The same on every replica. */
  keys(): IterableIterator<K>;
  /** Takes the map of a key away; whether there was one. */
  clear(key: K): boolean;
}

/** One value for each key, in a database. What is awaited is in it. */
export interface StoredValue<K, V> {
  /** Its name. */
  readonly name: string;
  /** The value of a key. */
  get(key: K): Promise<V | undefined>;
  /** Puts a value. */
  set(key: K, value: V): Promise<void>;
  /** Takes a value away. */
  delete(key: K): Promise<void>;
  /** The entries as they are now: by key groups, in each in the order of the bytes of the keys. */
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
  /** Takes the list of a key away. */
  delete(key: K): Promise<void>;
  /** The keys that have a list, and the lists: in the order of {@linkcode StoredValue.entries}. */
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
  /** Takes an entry out of the map of a key. */
  delete(key: K, userKey: UK): Promise<void>;
  /** The entries of the map of a key, in the order of the bytes of the map's own keys. */
  entries(key: K): AsyncGenerator<[UK, V], void, undefined>;
}
