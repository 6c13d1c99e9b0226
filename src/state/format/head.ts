/**
 * A file of keyed state, and its header.
 *
 * ```text
 * file    = head group*
 * head    = magic version length StateHead     magic = "SSKS", version = 01, length = u32 big-endian
 *                                              it is a chunk of its own
 * group   = group section* 00                  group = varint; begins a chunk, where the manifest says
 *                                              absent if the group is empty
 * section = state mode entry* 00 count         state = varint, its place in the head + 1; count = varint, of entries
 *                                              mode = 00: changes what was before, 01: replaces it
 * entry   = length key [length value]          of a key = varint: 1 + 2 * its bytes, 1 more if it was deleted and there
 *                                              is no value; of a value = varint
 * ```
 *
 * A varint is protobuf's: seven bits a byte, lowest first. The key of an entry of a map is the length of the key
 * (u32, big-endian), the key, and the map's own key.
 *
 * @module
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { messageOf, SnapshotError } from "../../errors.ts";
import type { SnapshotReader } from "../../snapshot/mod.ts";
import { ByteBuffer, concat, u32 } from "../../stream/mod.ts";
import { Kind, type StateHead, StateHeadSchema } from "./gen/state_head_pb.ts";
import { checkRange, type KeyGroupRange } from "../key_groups.ts";

const MAGIC = "SSKS";
const VERSION = 1;
/** The length of magic, version and length. */
const FRAME = MAGIC.length + 1 + 4;
/** The longest header: that of some ten thousand states. */
export const MAX_HEAD: number = 1024 * 1024;

/** The kind of a state: a value for each key, a list, or a map. */
export type StateKind = "value" | "list" | "map";

/** The description of a state in a file. */
export interface DescribedState {
  /** Its name. */
  readonly name: string;
  /** Its kind. */
  readonly kind: StateKind;
  /** The name of the codec of its values. */
  readonly codec: string;
  /** The version of that codec. */
  readonly version: number;
  /** The name of the codec of a map's own keys; empty for others. */
  readonly userKeys: string;
}

/** The header of a file of keyed state. */
export interface Head {
  /** The number of key groups. */
  readonly maxParallelism: number;
  /** The key groups that the file covers. */
  readonly range: KeyGroupRange;
  /** The name of the codec of the keys. */
  readonly keys: string;
  /** The states, by their positions. */
  readonly states: readonly DescribedState[];
  /** The root digest of the file upon which this delta builds; nothing for a base. */
  readonly buildsUpon: Uint8Array | undefined;
}

const KINDS: Readonly<Record<StateKind, Kind>> = { value: Kind.VALUE, list: Kind.LIST, map: Kind.MAP };

/**
 * A header as bytes.
 *
 * @throws {SnapshotError} `MALFORMED` if it would not come back unchanged
 */
export function encodeHead({ maxParallelism, range, keys, states, buildsUpon }: Head): Uint8Array {
  for (const { name, codec, version, userKeys } of states) {
    const isText = [keys, name, codec, userKeys].every((text) => text.isWellFormed());
    if (isText && version >>> 0 === version) continue;
    throw new SnapshotError(
      "MALFORMED",
      `The state ${
        JSON.stringify(name)
      } cannot be saved: a name has half of a surrogate pair, or ${version} is no version`,
    );
  }
  const message = toBinary(
    StateHeadSchema,
    create(StateHeadSchema, {
      maxParallelism,
      ...range,
      keys,
      states: states.map(({ kind, ...state }) => ({ ...state, kind: KINDS[kind] })),
      ...(buildsUpon !== undefined && { buildsUpon }),
    }),
  );
  if (message.length > MAX_HEAD) throw malformed("it has more states than a header can hold");
  return concat([new TextEncoder().encode(MAGIC), Uint8Array.of(VERSION), u32(message.length), message]);
}

/**
 * Reads the header of a file.
 *
 * @param reader the snapshot
 * @param name the file
 * @param end the end of the header, by the manifest
 * @throws {SnapshotError} `MALFORMED` if it has none, `UNSUPPORTED` if a newer release wrote it
 */
export async function readHead(reader: SnapshotReader, name: string, end: number): Promise<Head> {
  if (end > FRAME + MAX_HEAD) throw malformed(`its header has ${end} bytes`, name);
  const buffer = new ByteBuffer(end);
  for await (const piece of reader.file(name, { end })) buffer.add(piece);
  return decodeHead(buffer.bytes, name);
}

/**
 * The header of bytes.
 *
 * @param bytes all of it
 * @param name the file
 * @throws {SnapshotError} as {@linkcode readHead}
 */
export function decodeHead(bytes: Uint8Array, name: string): Head {
  if (new TextDecoder().decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    throw malformed("it does not begin like one", name);
  }
  if (bytes.length < FRAME) throw malformed(`its header has ${bytes.length} bytes`, name);
  const version = bytes[MAGIC.length]!;
  if (version !== VERSION) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `The state in ${name} has version ${version}; this release reads ${VERSION}`,
      {
        file: name,
        expected: VERSION,
        actual: version,
      },
    );
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length + 1);
  if (FRAME + length !== bytes.length) throw malformed(`its header does not end where its key groups begin`, name);
  let message: StateHead;
  try {
    message = fromBinary(StateHeadSchema, bytes.subarray(FRAME));
  } catch (error) {
    throw malformed(messageOf(error), name, error);
  }
  return headOf(message, name);
}

function headOf(message: StateHead, file: string): Head {
  const { maxParallelism, first, last, keys, buildsUpon } = message;
  checkRange({ first, last }, maxParallelism);
  const states = message.states.map(({ name, kind, codec, version, userKeys }) => {
    const [known] = Object.entries(KINDS).find(([, it]) => it === kind) ?? [];
    if (known !== undefined) return { name, kind: known as StateKind, codec, version, userKeys };
    throw new SnapshotError(
      "UNSUPPORTED",
      `The state ${JSON.stringify(name)} is of a kind that this release does not know`,
      {
        file,
        actual: kind,
      },
    );
  });
  if (new Set(states.map(({ name }) => name)).size < states.length) throw malformed("a state is there twice", file);
  return {
    maxParallelism,
    range: { first, last },
    keys,
    states,
    buildsUpon: buildsUpon.length === 0 ? undefined : buildsUpon,
  };
}

function malformed(what: string, file?: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not a file of keyed state, or it is damaged: ${what}`, {
    ...(file !== undefined && { file }),
    cause,
  });
}
