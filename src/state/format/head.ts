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

import { messageOf, SnapshotError } from "../../errors.ts";
import type { SnapshotReader } from "../../snapshot/mod.ts";
import { ByteBuffer, concat, list, type Message, message, one, u32 } from "../../stream/mod.ts";
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

/** `Kind` of state_head.proto, of which 0 is none. */
const KINDS: Readonly<Record<StateKind, number>> = { value: 1, list: 2, map: 3 };

interface StateMessage {
  name?: string;
  kind?: number;
  codec?: string;
  version?: number;
  userKeys?: string;
}

/** `StateHead` of state_head.proto; what is 0 or empty is absent. */
export interface StateHeadMessage {
  maxParallelism?: number;
  first?: number;
  last?: number;
  keys?: string;
  states?: StateMessage[];
  buildsUpon?: Uint8Array;
}

export const STATE_HEAD: Message<StateHeadMessage> = message({
  maxParallelism: one(1, "uint32"),
  first: one(2, "uint32"),
  last: one(3, "uint32"),
  keys: one(4, "text"),
  states: list(
    5,
    message<StateMessage>({
      name: one(1, "text"),
      kind: one(2, "enum"),
      codec: one(3, "text"),
      version: one(4, "uint32"),
      userKeys: one(5, "text"),
    }),
  ),
  buildsUpon: one(6, "bytes"),
});

/** Leaves out what is 0 or empty, as proto3 does. */
function withoutDefaults<T extends object>(fields: T): T {
  const said = Object.entries(fields).filter(([, value]) => value !== 0 && value !== "");
  return Object.fromEntries(said) as T;
}

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
  const bytes = STATE_HEAD.encode(withoutDefaults({
    maxParallelism,
    ...range,
    keys,
    states: states.map(({ kind, ...state }) => withoutDefaults({ ...state, kind: KINDS[kind] })),
    ...(buildsUpon !== undefined && { buildsUpon }),
  }));
  if (bytes.length > MAX_HEAD) throw malformed("it has more states than a header can hold");
  return concat([new TextEncoder().encode(MAGIC), Uint8Array.of(VERSION), u32(bytes.length), bytes]);
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
  let head: StateHeadMessage;
  try {
    head = STATE_HEAD.decode(bytes.subarray(FRAME));
  } catch (error) {
    throw malformed(messageOf(error), name, error);
  }
  return headOf(head, name);
}

function headOf(head: StateHeadMessage, file: string): Head {
  const { maxParallelism = 0, first = 0, last = 0, keys = "", buildsUpon = new Uint8Array(0) } = head;
  checkRange({ first, last }, maxParallelism);
  const states = (head.states ?? []).map(({ name = "", kind = 0, codec = "", version = 0, userKeys = "" }) => {
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
