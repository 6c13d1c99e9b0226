/**
 * The encoding of the keys and values of each kind of state in a file.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat, u32 } from "../../stream/mod.ts";
import { Block, type Codec, type CodecVersion, type KeyCodec } from "../codecs/mod.ts";

/** Reads a value from a range of bytes. */
export type Decode<T> = (block: Block, start: number, end: number) => T;

/** The decoder of values that the same version of a codec wrote. */
export function decodeWith<T>(codec: Codec<T>): Decode<T> {
  return codec.decodeFrom === undefined
    ? ({ bytes }, start, end) => codec.decode(bytes.subarray(start, end))
    : (block, start, end) => codec.decodeFrom!(block, start, end);
}

/** The name and version of a codec. */
export type NamedCodec = Pick<Codec<never>, "name" | "version">;

/** Reports whether `from` is this codec in its current version. */
export function isOwn({ name, version = 0 }: NamedCodec, from: CodecVersion): boolean {
  return from.name === name && from.version === version;
}

/**
 * Returns the decoder of values that a version of the codec wrote.
 *
 * @param codec reads them
 * @param from wrote them
 * @param what names them, for a person
 * @throws {SnapshotError} `UNSUPPORTED` if the codec cannot read them
 */
export function decoderOf<T>(codec: Codec<T>, from: CodecVersion, what: string): Decode<T> {
  const { name, version = 0, replaces = [] } = codec;
  if (isOwn(codec, from)) return decodeWith(codec);
  // A migration may misread the bytes of another codec as a value: so it must name that codec.
  const isKnown = from.name === name || replaces.includes(from.name);
  if (isKnown && from.version < version && codec.migrate !== undefined) {
    return ({ bytes }, start, end) => codec.migrate!(bytes.subarray(start, end), from);
  }
  const [expected, actual] = [{ name, version }, from].map((it) => `${it.name}, version ${it.version}`);
  throw new SnapshotError(
    "UNSUPPORTED",
    `${what} was written with ${actual}, and is to be read with ${expected}: ${
      from.version > version
        ? "use a newer release of the program"
        : isKnown
        ? "give its codec a migration"
        : "give its codec a higher version, and a migration that says that it replaces the other one"
    }`,
    { expected: expected!, actual: actual! },
  );
}

/**
 * Writes a value at an offset. Writing beyond the end of a typed array is silently ignored: so the end that the codec
 * returns is checked.
 *
 * @returns the end of the value; -1 if there may not be enough room for it
 * @throws {SnapshotError} `MALFORMED` if the codec returns an impossible end
 */
export function encodeAt<T>(codec: Codec<T>, value: T, target: Uint8Array, at: number): number {
  if (codec.encodeInto === undefined) {
    const bytes = codec.encode(value);
    if (at + bytes.length > target.length) return -1;
    target.set(bytes, at);
    return at + bytes.length;
  }
  const end = codec.encodeInto(value, target, at);
  if (end === -1 || (end >= at && end <= target.length)) return end;
  throw new SnapshotError("MALFORMED", `The codec ${codec.name} wrote from ${at} to ${end} of ${target.length} bytes`);
}

/** A list that is only appended to, or replaced: its array may have more items than belong to it. */
export interface ListValue<T> {
  /** The items, and possibly later ones. */
  readonly items: T[];
  /** The number of items that belong to this list. */
  readonly length: number;
  /** The number of bytes that they take, where it is kept: see {@linkcode encodeList}. */
  readonly size?: number;
}

/** The items as bytes, each after its length (u32, big-endian). */
export function encodeList<T>(codec: Codec<T>, { items, length }: ListValue<T>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < length; i++) {
    const item = codec.encode(items[i]!);
    parts.push(u32(item.length), item);
  }
  return concat(parts);
}

/** The decoder of a list whose items are read by `item`. */
export function listDecoder<T>(item: Decode<T>): Decode<ListValue<T>> {
  return (block, start, end) => {
    const { bytes } = block;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const items: T[] = [];
    for (let at = start; at < end;) {
      const length = at + 4 <= end ? view.getUint32(at) : Infinity;
      if (at + 4 + length > end) throw new SnapshotError("MALFORMED", "A list ends in the middle of an item");
      items.push(item(block, at + 4, at + 4 + length));
      at += 4 + length;
    }
    return { items, length: items.length, size: end - start };
  };
}

/** The codec of lists whose items another codec encodes. */
export function listCodec<T>(codec: Codec<T>): Codec<ListValue<T>> {
  const decode = listDecoder(decodeWith(codec));
  return {
    name: codec.name,
    ...(codec.version !== undefined && { version: codec.version }),
    encode: (list) => encodeList(codec, list),
    decode: (bytes) => decode(new Block(bytes), 0, bytes.length),
    encodeInto({ items, length }, target, at) {
      const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
      for (let i = 0; i < length; i++) {
        const end = at + 4 > target.length ? -1 : encodeAt(codec, items[i]!, target, at + 4);
        if (end < 0) return -1;
        view.setUint32(at, end - at - 4);
        at = end;
      }
      return at;
    },
    decodeFrom: decode,
  };
}

/** The key of an entry of a map state: the key, and the map's own key. */
export interface MapKeyCodec<K, UK> extends Codec<string> {
  /** The two as one text, the value of this codec. */
  join(key: K, userKey: UK): string;
  /** The two keys of such a text. */
  split(text: string): readonly [key: K, userKey: UK];
  /** The key of an encoded entry, without the map's own key. */
  keyOf(block: Block, start: number, end: number): K;
}

/** A key and a map's own key in bytes: the length of the key (u32, big-endian), the key, the map's own key. */
export function joinKeys(key: Uint8Array, userKey: Uint8Array): Uint8Array {
  return concat([u32(key.length), key, userKey]);
}

/** The codec of the keys of a map state: see {@linkcode joinKeys}. */
export function mapKeyCodec<K, UK>(keys: KeyCodec<K>, userKeys: KeyCodec<UK>): MapKeyCodec<K, UK> {
  const decodeKey = decodeWith(keys);
  const decodeUserKey = decodeWith(userKeys);
  const join = (key: K, userKey: UK) => {
    const text = keys.text(key);
    return `${text.length}:${text}${userKeys.text(userKey)}`;
  };
  const split = (text: string): readonly [K, UK] => {
    const colon = text.indexOf(":");
    const end = colon + 1 + Number(text.slice(0, colon));
    return [keys.ofText(text.slice(colon + 1, end)), userKeys.ofText(text.slice(end))];
  };
  const middleOf = ({ bytes }: Block, start: number, end: number) => {
    const length = end - start < 4 ? Infinity : new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0);
    if (start + 4 + length <= end) return start + 4 + length;
    throw new SnapshotError("MALFORMED", "A key of a map is cut short");
  };
  const keyOf: Decode<K> = (block, start, end) => decodeKey(block, start + 4, middleOf(block, start, end));
  const decode: Decode<string> = (block, start, end) =>
    join(keyOf(block, start, end), decodeUserKey(block, middleOf(block, start, end), end));
  return {
    name: userKeys.name,
    join,
    split,
    keyOf,
    encode(text) {
      const [key, userKey] = split(text);
      return joinKeys(keys.encode(key), userKeys.encode(userKey));
    },
    decode: (bytes) => decode(new Block(bytes), 0, bytes.length),
    decodeFrom: decode,
  };
}
