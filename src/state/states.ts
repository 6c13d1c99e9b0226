/**
 * The states of a {@linkcode KeyedState}, in memory.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { Block } from "./block.ts";
import type { Codec } from "./codec.ts";
import type { AnyMap, AnyView, Group } from "./groups.ts";
import type { KeyCodec } from "./key_codec.ts";
import {
  type Decode,
  decoderOf,
  decodeWith,
  listCodec,
  listDecoder,
  type ListValue,
  type MapKeyCodec,
  mapKeyCodec,
} from "./state_codecs.ts";
import type { StateEncoder } from "./state_encoder.ts";
import type { DescribedState } from "./state_head.ts";
import type { ListState, MapState, ValueState } from "./state_types.ts";

/** What a state needs of the {@linkcode KeyedState} that it is in. */
export interface StateOwner<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /** The group of a key, to be read; nothing if it is empty. */
  group(key: K): Group | undefined;
  /** The group of a key, to be written to. */
  writable(key: K): Group;
  /** All groups, in order. */
  groups(): Iterable<Group>;
  /** How many entries a state has. */
  size(place: number): number;
}

/** Puts an entry of a file into a group. Returns the key, so that it can be seen whether it belongs there. */
export type LoadEntry<K> = (
  group: Group,
  block: Block,
  keyStart: number,
  keyEnd: number,
  valueStart: number,
  valueEnd: number,
) => K;

/** What all states have in common: where they are, and how they are saved and loaded. */
export abstract class AnyState<K, MK, V> {
  /** Where it stands among the states. */
  readonly place: number;
  /** What is said of it in a file. */
  readonly described: DescribedState;
  protected readonly owner: StateOwner<K>;
  readonly #mapKeys: Codec<MK>;
  readonly #values: Codec<V>;

  /** Made by a {@linkcode KeyedState}. */
  constructor(
    owner: StateOwner<K>,
    place: number,
    described: Omit<DescribedState, "codec" | "version">,
    mapKeys: Codec<MK>,
    values: Codec<V>,
  ) {
    this.owner = owner;
    this.place = place;
    this.described = { ...described, codec: values.name, version: values.version ?? 0 };
    this.#mapKeys = mapKeys;
    this.#values = values;
  }

  /** Its name. */
  get name(): string {
    return this.described.name;
  }

  /** How many entries there are. */
  get size(): number {
    return this.owner.size(this.place);
  }

  /** The entries of a group. */
  protected entriesOf(group: Group | undefined): AnyMap | undefined {
    return group?.maps[this.place];
  }

  /** Writes a section with all entries that a view has. */
  async encodeAll(encoder: StateEncoder, view: AnyView): Promise<void> {
    if (view.size === 0) return;
    encoder.beginSection(this.place, true);
    await this.#encodePuts(encoder, view);
    encoder.endSection();
  }

  /** Writes a section with what changed between two views; the earlier one may be of nothing. */
  async encodeChanges(encoder: StateEncoder, from: AnyView | undefined, to: AnyView): Promise<void> {
    // All of it, if that is less than what changed: or if there was nothing before that the two have in common.
    const changes = from === undefined || changesBetween(from, to) > to.size ? undefined : to.changesSince(from);
    encoder.beginSection(this.place, changes === undefined);
    if (changes === undefined) await this.#encodePuts(encoder, to);
    for (const { deleted, put } of changes ?? []) {
      for (const key of deleted) {
        encoder.delete(this.described.name, this.#mapKeys, key as MK);
        if (encoder.due) await encoder.turn();
      }
      await this.#encodePuts(encoder, put);
    }
    encoder.endSection();
  }

  async #encodePuts(encoder: StateEncoder, entries: Iterable<[MK, V]>): Promise<void> {
    for (const [key, value] of entries) {
      encoder.put(this.described.name, this.#mapKeys, key, this.#values, value);
      if (encoder.due) await encoder.turn();
    }
  }

  /**
   * What takes in the entries that a file has of this state.
   *
   * @param described what that file says of it
   * @throws {SnapshotError} `UNSUPPORTED` if it is another kind of state there, or its codecs cannot read it
   */
  loader(described: DescribedState): { readonly put: LoadEntry<K>; readonly delete: LoadEntry<K> } {
    const { name, kind, userKeys } = this.described;
    if (described.kind !== kind || described.userKeys !== userKeys) {
      const [saved, wanted] = [described, this.described].map(({ kind, userKeys }) => `${kind} ${userKeys}`.trim());
      throw new SnapshotError("UNSUPPORTED", `The state ${JSON.stringify(name)} was saved as ${saved}, not ${wanted}`, {
        expected: wanted!,
        actual: saved!,
      });
    }
    const key = decodeWith(this.#mapKeys);
    const value = this.decoder(described);
    return {
      put: (group, block, keyStart, keyEnd, valueStart, valueEnd) =>
        this.putLoaded(group, key(block, keyStart, keyEnd), value(block, valueStart, valueEnd)),
      delete: (group, block, keyStart, keyEnd) => this.deleteLoaded(group, key(block, keyStart, keyEnd)),
    };
  }

  /** What reads its values out of a file. */
  protected decoder(described: DescribedState): Decode<V> {
    return decoderOf(this.#values, described);
  }

  /** Puts an entry into a group that nobody sees yet, and returns its key. */
  protected putLoaded(group: Group, mapKey: MK, value: V): K {
    group.map(this.place).set(mapKey, value);
    return mapKey as unknown as K; // but for a map, they are the same
  }

  /** Takes an entry out of such a group, and returns its key. */
  protected deleteLoaded(group: Group, mapKey: MK): K {
    group.map(this.place).delete(mapKey);
    return mapKey as unknown as K;
  }
}

// deno-lint-ignore no-explicit-any -- states of different types
export type OneState<K> = AnyState<K, any, any>;

/** How many changes lead from one view of a map to another; the earlier one may be of nothing. */
export function changesBetween(from: AnyView | undefined, to: AnyView): number {
  if (from === undefined) return to.size;
  const changes = to.changesSince(from);
  return changes === undefined
    ? Math.max(to.size, 1)
    : changes.reduce((sum, it) => sum + it.deleted.size + it.put.size, 0);
}

/** A {@linkcode ValueState} in memory. */
export class KeyedValue<K, V> extends AnyState<K, K, V> implements ValueState<K, V> {
  /** Made by {@linkcode KeyedState.value}. */
  constructor(owner: StateOwner<K>, place: number, name: string, values: Codec<V>) {
    super(owner, place, { name, kind: "value", userKeys: "" }, owner.keys, values);
  }

  get(key: K): V | undefined {
    return this.entriesOf(this.owner.group(key))?.get(key);
  }

  has(key: K): boolean {
    return this.entriesOf(this.owner.group(key))?.has(key) ?? false;
  }

  set(key: K, value: V): void {
    this.owner.writable(key).map(this.place).set(key, value);
  }

  update(key: K, change: (value: V | undefined) => V): V {
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
    super(owner, place, { name, kind: "list", userKeys: "" }, owner.keys, listCodec(items));
    this.#items = items;
  }

  get(key: K): T[] {
    const list: ListValue<T> | undefined = this.entriesOf(this.owner.group(key))?.get(key);
    return list === undefined ? [] : list.items.slice(0, list.length);
  }

  add(key: K, ...added: readonly T[]): void {
    if (added.length === 0) return;
    const map = this.owner.writable(key).map(this.place);
    const old: ListValue<T> | undefined = map.get(key);
    // The array is shared with the views that have a shorter list: nothing that they see of it changes. If it was
    // added to after a view of which this is the list, it has other items there.
    const items = old === undefined ? [] : old.items.length === old.length ? old.items : old.items.slice(0, old.length);
    for (const item of added) items.push(item);
    map.set(key, { items, length: items.length });
  }

  set(key: K, items: readonly T[]): void {
    if (items.length === 0) this.delete(key);
    else this.owner.writable(key).map(this.place).set(key, { items: [...items], length: items.length });
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

  protected override decoder(described: DescribedState): Decode<ListValue<T>> {
    return listDecoder(decoderOf(this.#items, described));
  }
}

/** A {@linkcode MapState} in memory. */
export class KeyedMap<K, UK, V> extends AnyState<K, string, V> implements MapState<K, UK, V> {
  readonly #keys: MapKeyCodec<K, UK>;
  readonly #userKeys: KeyCodec<UK>;

  /** Made by {@linkcode KeyedState.map}. */
  constructor(owner: StateOwner<K>, place: number, name: string, userKeys: KeyCodec<UK>, values: Codec<V>) {
    const keys = mapKeyCodec(owner.keys, userKeys);
    super(owner, place, { name, kind: "map", userKeys: userKeys.name }, keys, values);
    this.#keys = keys;
    this.#userKeys = userKeys;
  }

  get(key: K, userKey: UK): V | undefined {
    return this.#mapOf(key)?.get(userKey);
  }

  has(key: K, userKey: UK): boolean {
    return this.#mapOf(key)?.has(userKey) ?? false;
  }

  set(key: K, userKey: UK, value: V): void {
    this.#userKeys.hash(userKey); // refuses what cannot be a key
    this.#put(this.owner.writable(key), key, userKey, value);
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
      const keys = new Set<K>(); // not the index's, which remembers entries that are gone: a replica that loaded does not
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

  #put(group: Group, key: K, userKey: UK, value: V): void {
    const index = group.indexes[this.place] ??= new Map();
    let map = index.get(key);
    if (map === undefined) index.set(key, map = new Map());
    map.set(userKey, value);
    group.map(this.place).set(this.#keys.join(key, userKey), value);
  }

  #delete(group: Group, key: K, userKey: UK): boolean {
    const index = group.indexes[this.place];
    const map = index?.get(key);
    if (map?.delete(userKey) && map.size === 0) index!.delete(key);
    return group.map(this.place).delete(this.#keys.join(key, userKey));
  }

  protected override putLoaded(group: Group, mapKey: string, value: V): K {
    const [key, userKey] = this.#keys.split(mapKey);
    this.#put(group, key, userKey, value);
    return key;
  }

  protected override deleteLoaded(group: Group, mapKey: string): K {
    const [key, userKey] = this.#keys.split(mapKey);
    this.#delete(group, key, userKey);
    return key;
  }
}
