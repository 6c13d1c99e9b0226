/**
 * The states of a {@linkcode StoredState}: one value for each key, a list, or a map, as in memory, but awaited.
 *
 * @module
 */

import { checkArray, checkString } from "../../checks.ts";
import { bytesOf, checkLength, refusedValue, shownKey } from "../accepted.ts";
import { Block, checkCodec, checkKeyCodec, type Codec, type CodecVersion, type KeyCodec } from "../codecs/mod.ts";
import {
  type Decode,
  decoderOf,
  decodeWith,
  type DescribedState,
  isOwn,
  joinKeys,
  listCodec,
  listDecoder,
  type ListValue,
  mapKeyCodec,
} from "../format/mod.ts";
import type { StoredList, StoredMap, StoredValue } from "../state_types.ts";
import { nameBytes } from "./stored_keys.ts";

/** The part that a state needs of the {@linkcode StoredState} that it is in. */
export interface StoredOwner<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /** A value of a state. */
  read(state: AnyStored<K>, key: K, entryKey: Uint8Array): Promise<Uint8Array | undefined>;
  /** Puts a value, or deletes it. Resolves when it is in the database. */
  write(state: AnyStored<K>, key: K, entryKey: Uint8Array, value: Uint8Array | undefined): Promise<void>;
  /** The entries of a state, or of those whose key in the state begins with some bytes, in one key group or in all. */
  entries(
    state: AnyStored<K>,
    key?: K,
    begin?: Uint8Array,
  ): AsyncGenerator<readonly [entryKey: Uint8Array, value: Uint8Array]>;
  /** Runs work that reads and then writes; no two at a time. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

/** The common part of all states. */
export abstract class AnyStored<K> {
  /** Its description in a file. */
  readonly described: DescribedState;
  /** Its name, in keys. */
  readonly nameBytes: Uint8Array;
  protected readonly owner: StoredOwner<K>;

  /** Made by a {@linkcode StoredState}. */
  constructor(owner: StoredOwner<K>, described: DescribedState, keyOf: Decode<K> = decodeWith(owner.keys)) {
    this.owner = owner;
    this.keyOf = keyOf;
    this.described = described;
    this.nameBytes = nameBytes(described.name);
  }

  /** Its name. */
  get name(): string {
    return this.described.name;
  }

  /** Reads the key of an entry. */
  readonly keyOf: Decode<K>;

  /**
   * The bytes of a value that a key is set to.
   *
   * @throws {SnapshotError} `MALFORMED` if no save could write it
   */
  protected accept<T>(codec: Codec<T>, value: T, ...keys: readonly unknown[]): Uint8Array {
    try {
      return encoded(codec, value);
    } catch (error) {
      throw refusedValue(this.name, codec, `the value of ${keys.map(shownKey).join(" in ")}`, error);
    }
  }

  /** The name of it in errors. */
  protected get title(): string {
    return `The state ${JSON.stringify(this.name)}`;
  }

  /**
   * What makes the bytes of a value of those that a file has; nothing if they are the same.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if the codec cannot read them
   */
  abstract converter(described: DescribedState): ((block: Block, start: number, end: number) => Uint8Array) | undefined;
}

/** Bytes that nobody else has: a codec may give its own, and a database keep them until they are written. */
function encoded<T>(codec: Codec<T>, value: T): Uint8Array {
  return new Uint8Array(bytesOf(codec, value)); // not slice: a Buffer's does not copy
}

function decoded<T>(decode: Decode<T>, bytes: Uint8Array): T {
  return decode(new Block(bytes), 0, bytes.length);
}

function describe(
  name: string,
  kind: DescribedState["kind"],
  values: Codec<never>,
  userKeys = "",
): DescribedState {
  checkString(name, "name");
  checkCodec(values, "The codec of a state");
  const { name: codec, version = 0 } = values;
  return { name, kind, codec, version, userKeys };
}

function converterOf<T>(
  codec: Codec<T>,
  decoder: (from: CodecVersion) => Decode<T>,
  described: DescribedState,
): ReturnType<AnyStored<unknown>["converter"]> {
  const from = { name: described.codec, version: described.version };
  const decode = decoder(from); // refuses what cannot be read
  if (isOwn(codec, from)) return undefined;
  return (block, start, end) => encoded(codec, decode(block, start, end));
}

/** A {@linkcode StoredValue}. */
export class DatabaseValue<K, V> extends AnyStored<K> implements StoredValue<K, V> {
  readonly #values: Codec<V>;

  /** Made by {@linkcode StoredState.value}. */
  constructor(owner: StoredOwner<K>, name: string, values: Codec<V>) {
    super(owner, describe(name, "value", values as Codec<never>));
    this.#values = values;
  }

  async get(key: K): Promise<V | undefined> {
    const bytes = await this.owner.read(this, key, this.owner.keys.encode(key));
    return bytes && decoded(decodeWith(this.#values), bytes);
  }

  async set(key: K, value: V): Promise<void> {
    await this.owner.write(this, key, encoded(this.owner.keys, key), this.accept(this.#values, value, key));
  }

  async delete(key: K): Promise<void> {
    await this.owner.write(this, key, encoded(this.owner.keys, key), undefined);
  }

  async *entries(): AsyncGenerator<[K, V], void, undefined> {
    const [key, value] = [decodeWith(this.owner.keys), decodeWith(this.#values)];
    for await (const [keyBytes, bytes] of this.owner.entries(this)) {
      yield [decoded(key, keyBytes), decoded(value, bytes)];
    }
  }

  override converter(described: DescribedState): ReturnType<AnyStored<K>["converter"]> {
    return converterOf(this.#values, (it) => decoderOf(this.#values, it, this.title), described);
  }
}

/** A {@linkcode StoredList}. To add to a list reads and writes all of it. */
export class DatabaseList<K, T> extends AnyStored<K> implements StoredList<K, T> {
  readonly #items: Codec<T>;
  readonly #lists: Codec<ListValue<T>>;

  /** Made by {@linkcode StoredState.list}. */
  constructor(owner: StoredOwner<K>, name: string, items: Codec<T>) {
    super(owner, describe(name, "list", items as Codec<never>));
    this.#items = items;
    this.#lists = listCodec(items);
  }

  async get(key: K): Promise<T[]> {
    const bytes = await this.owner.read(this, key, this.owner.keys.encode(key));
    return bytes === undefined ? [] : decoded(decodeWith(this.#lists), bytes).items;
  }

  async add(key: K, ...added: readonly T[]): Promise<void> {
    if (added.length === 0) return;
    await this.owner.alone(async () => await this.#write(key, [...await this.get(key), ...added]));
  }

  async set(key: K, items: readonly T[]): Promise<void> {
    const now = [...checkArray(items, "items")]; // the caller's may be another one when it is its turn
    await this.owner.alone(() => this.#write(key, now));
  }

  async delete(key: K): Promise<void> {
    await this.set(key, []);
  }

  async *entries(): AsyncGenerator<[K, T[]], void, undefined> {
    const [key, list] = [decodeWith(this.owner.keys), decodeWith(this.#lists)];
    for await (const [keyBytes, bytes] of this.owner.entries(this)) {
      yield [decoded(key, keyBytes), decoded(list, bytes).items];
    }
  }

  async #write(key: K, items: T[]): Promise<void> {
    const list = { items, length: items.length };
    const bytes = items.length === 0 ? undefined : this.accept(this.#lists, list, key);
    await this.owner.write(this, key, encoded(this.owner.keys, key), bytes);
  }

  override converter(described: DescribedState): ReturnType<AnyStored<K>["converter"]> {
    return converterOf(this.#lists, (it) => listDecoder(decoderOf(this.#items, it, this.title)), described);
  }
}

/** A {@linkcode StoredMap}. */
export class DatabaseMap<K, UK, V> extends AnyStored<K> implements StoredMap<K, UK, V> {
  readonly #userKeys: KeyCodec<UK>;
  readonly #values: Codec<V>;

  /** Made by {@linkcode StoredState.map}. */
  constructor(owner: StoredOwner<K>, name: string, userKeys: KeyCodec<UK>, values: Codec<V>) {
    checkKeyCodec(userKeys, "userKeys");
    const { keyOf } = mapKeyCodec(owner.keys, userKeys);
    super(owner, describe(name, "map", values as Codec<never>, userKeys.name), keyOf);
    this.#userKeys = userKeys;
    this.#values = values;
  }

  async get(key: K, userKey: UK): Promise<V | undefined> {
    const bytes = await this.owner.read(this, key, this.#entryKey(key, userKey));
    return bytes && decoded(decodeWith(this.#values), bytes);
  }

  async set(key: K, userKey: UK, value: V): Promise<void> {
    await this.owner.write(this, key, this.#entryKey(key, userKey), this.accept(this.#values, value, userKey, key));
  }

  async delete(key: K, userKey: UK): Promise<void> {
    await this.owner.write(this, key, this.#entryKey(key, userKey), undefined);
  }

  async *entries(key: K): AsyncGenerator<[UK, V], void, undefined> {
    const [userKey, value] = [decodeWith(this.#userKeys), decodeWith(this.#values)];
    const begin = joinKeys(this.owner.keys.encode(key), new Uint8Array(0));
    for await (const [entryKey, bytes] of this.owner.entries(this, key, begin)) {
      yield [decoded(userKey, entryKey.subarray(begin.length)), decoded(value, bytes)];
    }
  }

  #entryKey(key: K, userKey: UK): Uint8Array {
    this.#userKeys.hash(userKey); // refuses what cannot be a key
    const entryKey = joinKeys(this.owner.keys.encode(key), this.#userKeys.encode(userKey));
    checkLength(entryKey.length);
    return entryKey;
  }

  override converter(described: DescribedState): ReturnType<AnyStored<K>["converter"]> {
    return converterOf(this.#values, (it) => decoderOf(this.#values, it, this.title), described);
  }
}
