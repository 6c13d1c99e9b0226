/**
 * The states of a {@linkcode KeyedState}, in memory.
 *
 * @module
 */

import { checkArray, checkFunction } from "../../checks.ts";
import { checkLength, refusedValue, shownKey, sizeOf } from "../accepted.ts";
import { AnyState, type StateOwner } from "./any_state.ts";
import { checkCodec, checkKeyCodec, type Codec, type KeyCodec } from "../codecs/mod.ts";
import type { Group } from "./groups.ts";
import {
  type Decode,
  decoderOf,
  type DescribedState,
  listCodec,
  listDecoder,
  type ListValue,
  type MapKeyCodec,
  mapKeyCodec,
} from "../format/mod.ts";
import type { ListState, MapState, ValueState } from "../state_types.ts";

/** A {@linkcode ValueState} in memory. */
export class KeyedValue<K, V> extends AnyState<K, K, V> implements ValueState<K, V> {
  readonly #values: Codec<V>;

  /** Made by {@linkcode KeyedState.value}. */
  constructor(owner: StateOwner<K>, place: number, name: string, values: Codec<V>) {
    super(owner, place, { name, kind: "value", userKeys: "" }, owner.keys, values);
    this.#values = values;
  }

  get(key: K): V | undefined {
    return this.entriesOf(this.owner.group(key))?.get(key);
  }

  has(key: K): boolean {
    return this.entriesOf(this.owner.group(key))?.has(key) ?? false;
  }

  set(key: K, value: V): void {
    this.owner.group(key); // refuses what cannot be a key
    this.accept(this.#values, value, key);
    this.put(key, value);
  }

  /** Puts a value of which it is known that each save can write it: {@linkcode set} encodes it to see that. */
  put(key: K, value: V): void {
    this.owner.writable(key).map(this.place).set(key, value);
  }

  update(key: K, change: (value: V | undefined) => V): V {
    checkFunction(change, "change");
    const value = change(this.get(key)); // may itself save, or change this state: only then is the group written to
    this.set(key, value);
    return value;
  }

  delete(key: K): boolean {
    if (!this.has(key)) return false;
    return this.owner.writable(key).map(this.place).delete(key);
  }

  *entries(): IterableIterator<[K, V]> {
    for (const group of this.owner.groups()) yield* this.entriesOf(group) ?? [];
  }
}

/** A {@linkcode ListState} in memory. To add to a list costs the same, however long it is. */
export class KeyedList<K, T> extends AnyState<K, K, ListValue<T>> implements ListState<K, T> {
  readonly #items: Codec<T>;

  /** Made by {@linkcode KeyedState.list}. */
  constructor(owner: StateOwner<K>, place: number, name: string, items: Codec<T>) {
    checkCodec(items, "The codec of a state");
    super(owner, place, { name, kind: "list", userKeys: "" }, owner.keys, listCodec(items));
    this.#items = items;
  }

  get(key: K): T[] {
    const list: ListValue<T> | undefined = this.entriesOf(this.owner.group(key))?.get(key);
    return list === undefined ? [] : list.items.slice(0, list.length);
  }

  add(key: K, ...added: readonly T[]): void {
    if (added.length === 0) return;
    this.owner.group(key); // refuses what cannot be a key
    const more = this.#sizeOf(key, added);
    const map = this.owner.writable(key).map(this.place);
    const old: ListValue<T> | undefined = map.get(key);
    const size = this.#checkSize(key, (old?.size ?? 0) + more);
    // The array is shared with the views that have a shorter list: nothing that they see of it changes. If it was
    // added to after a view of which this is the list, it has other items there.
    const items = old === undefined ? [] : old.items.length === old.length ? old.items : old.items.slice(0, old.length);
    for (const item of added) items.push(item);
    map.set(key, { items, length: items.length, size });
  }

  set(key: K, items: readonly T[]): void {
    checkArray(items, "items");
    if (items.length === 0) return void this.delete(key);
    this.owner.group(key); // refuses what cannot be a key
    const own = [...items];
    const size = this.#checkSize(key, this.#sizeOf(key, own));
    this.owner.writable(key).map(this.place).set(key, { items: own, length: own.length, size });
  }

  delete(key: K): boolean {
    if (this.entriesOf(this.owner.group(key))?.has(key) !== true) return false;
    return this.owner.writable(key).map(this.place).delete(key);
  }

  *entries(): IterableIterator<[K, T[]]> {
    for (const group of this.owner.groups()) {
      for (const [key, { items, length }] of this.entriesOf(group) ?? []) yield [key, items.slice(0, length)];
    }
  }

  /** Checks that each save can write items; returns how many bytes they take. */
  #sizeOf(key: K, items: readonly T[]): number {
    let size = 0;
    for (const item of items) size += 4 + this.accept(this.#items, item, key);
    return size;
  }

  #checkSize(key: K, size: number): number {
    try {
      checkLength(size);
    } catch (error) {
      throw refusedValue(this.name, this.#items, `the list of ${shownKey(key)}`, error);
    }
    return size;
  }

  protected override decoder({ codec: name, version }: DescribedState): Decode<ListValue<T>> {
    const decode = listDecoder(decoderOf(this.#items, { name, version }, this.title));
    return this.checked(this.#items, { name, version }, decode, (list) => {
      const size = list.items.reduce((sum, item) => sum + 4 + sizeOf(this.#items, item), 0);
      checkLength(size);
      return { ...list, size };
    });
  }
}

/** A {@linkcode MapState} in memory. */
export class KeyedMap<K, UK, V> extends AnyState<K, string, V> implements MapState<K, UK, V> {
  readonly #keys: MapKeyCodec<K, UK>;
  readonly #userKeys: KeyCodec<UK>;
  readonly #values: Codec<V>;

  /** Made by {@linkcode KeyedState.map}. */
  constructor(owner: StateOwner<K>, place: number, name: string, userKeys: KeyCodec<UK>, values: Codec<V>) {
    checkKeyCodec(userKeys, "userKeys");
    const keys = mapKeyCodec(owner.keys, userKeys);
    super(owner, place, { name, kind: "map", userKeys: userKeys.name }, keys, values);
    this.#keys = keys;
    this.#userKeys = userKeys;
    this.#values = values;
  }

  get(key: K, userKey: UK): V | undefined {
    return this.#mapOf(key)?.get(userKey);
  }

  has(key: K, userKey: UK): boolean {
    return this.#mapOf(key)?.has(userKey) ?? false;
  }

  set(key: K, userKey: UK, value: V): void {
    this.owner.group(key); // both refuse what cannot be a key
    this.#userKeys.hash(userKey);
    const mapKey = this.#keys.join(key, userKey);
    this.accept(this.#values, value, mapKey, () => `${shownKey(userKey)} in ${shownKey(key)}`);
    this.#put(this.owner.writable(key), mapKey, key, userKey, value);
  }

  delete(key: K, userKey: UK): boolean {
    if (!this.has(key, userKey)) return false;
    return this.#delete(this.owner.writable(key), key, userKey);
  }

  entries(key: K): IterableIterator<[UK, V]> {
    return (this.#mapOf(key) ?? new Map<UK, V>()).entries();
  }

  *keys(): IterableIterator<K> {
    for (const group of this.owner.groups()) {
      // The index's keys will not do: it remembers entries that are gone, which a replica that loaded does not.
      const keys = new Set<K>();
      for (const mapKey of this.entriesOf(group)?.keys() ?? []) keys.add(this.#keys.split(mapKey)[0]);
      yield* keys;
    }
  }

  clear(key: K): boolean {
    const map = this.#mapOf(key);
    if (map === undefined) return false;
    const group = this.owner.writable(key);
    for (const userKey of [...map.keys()]) this.#delete(group, key, userKey);
    return true;
  }

  #mapOf(key: K): Map<UK, V> | undefined {
    return this.owner.group(key)?.indexes[this.place]?.get(key) as Map<UK, V> | undefined;
  }

  #put(group: Group, mapKey: string, key: K, userKey: UK, value: V): void {
    const index = group.indexes[this.place] ??= new Map();
    let map = index.get(key);
    if (map === undefined) index.set(key, map = new Map());
    map.set(userKey, value);
    group.map(this.place).set(mapKey, value);
  }

  #delete(group: Group, key: K, userKey: UK): boolean {
    const index = group.indexes[this.place];
    const map = index?.get(key);
    if (map?.delete(userKey) && map.size === 0) index!.delete(key);
    return group.map(this.place).delete(this.#keys.join(key, userKey));
  }

  protected override putLoaded(group: Group, mapKey: string, value: V): K {
    const [key, userKey] = this.#keys.split(mapKey);
    this.#put(group, mapKey, key, userKey, value);
    return key;
  }

  protected override deleteLoaded(group: Group, mapKey: string): K {
    const [key, userKey] = this.#keys.split(mapKey);
    this.#delete(group, key, userKey);
    return key;
  }
}
