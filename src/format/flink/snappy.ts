/**
 * Snappy in frames, which Flink compresses state with: chunks of at most 64 KiB, each with a CRC-32C. Flink writes
 * these checks and does not look at them; here they are looked at. It writes no chunks that are to be skipped: one is a
 * chunk whose type was changed.
 *
 * ```text
 * chunk = type u8, length u24le: ff "sNaPpY" begins a stream; 00 crc, compressed; 01 crc, bytes
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { maskedCrc } from "../bytes/crc.ts";
import { PieceReader } from "../bytes/piece_reader.ts";

/** The first bytes of a stream of chunks. */
export const STREAM: readonly number[] = [0xff, 6, 0, 0, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59];
const MAX_CHUNK = 64 * 1024;
/** The most bytes that become of one: a copy of 64 has three. */
const MOST_RATIO = 64;
/** The most that a chunk of so many bytes takes where nothing can be compressed. */
const MAX_COMPRESSED = 32 + MAX_CHUNK + Math.ceil(MAX_CHUNK / 6) + 4;

function damaged(what: string, message: string): SnapshotError {
  return new SnapshotError("CORRUPT", `${JSON.stringify(what)} is damaged: ${message}`, { file: what });
}

/**
 * The content of one or several streams of chunks, each chunk checked before it is given.
 *
 * @param pieces the chunks
 * @param what names them in errors
 * @param within they are out of a stream that has begun
 */
export async function* unframe(
  pieces: AsyncIterable<Uint8Array>,
  what: string,
  within = false,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new PieceReader(pieces, what);
  try {
    for (let begun = within;;) {
      const first = await reader.some(1);
      if (first === undefined) return;
      const type = first[0]!;
      const [low, middle, high] = await reader.exactly(3) as unknown as [number, number, number];
      const length = low | middle << 8 | high << 16;
      if (type === STREAM[0]) {
        if (length !== 6) throw damaged(what, "a stream of Snappy begins wrongly");
        const name = await reader.exactly(6);
        if (name.some((byte, i) => byte !== STREAM[4 + i])) throw damaged(what, "a stream of Snappy begins wrongly");
        begun = true;
      } else if (!begun) {
        throw damaged(what, "it is not compressed with Snappy");
      } else if (type > 1 || length < 4 || length > MAX_COMPRESSED) {
        throw damaged(what, `a chunk has the type ${type} and ${length} bytes`);
      } else {
        const body = await reader.exactly(length);
        const bytes = type === 0 ? uncompress(body.subarray(4), what, MAX_CHUNK) : body.slice(4);
        if (maskedCrc(bytes) !== (body[0]! | body[1]! << 8 | body[2]! << 16 | body[3]! << 24) >>> 0) {
          throw damaged(what, "a chunk does not have its CRC-32C");
        }
        if (bytes.length > 0) yield bytes;
      }
    }
  } finally {
    await reader.close();
  }
}

/**
 * One compressed block: its length, then literals, and copies of what came before.
 *
 * @param bytes the block
 * @param what names it in errors
 * @param most the most bytes that may become of it
 */
export function uncompress(bytes: Uint8Array, what: string, most: number): Uint8Array {
  const wrong = () => damaged(what, "a block of Snappy cannot be decompressed");
  let [at, length, shift] = [0, 0, 0];
  for (let byte = 0x80; byte >= 0x80; shift += 7) {
    if (at >= bytes.length || shift > 28) throw wrong();
    byte = bytes[at++]!;
    length |= (byte & 0x7f) << shift;
  }
  if (length < 0 || length > most || length > bytes.length * MOST_RATIO) throw wrong();
  const out = new Uint8Array(length);
  let to = 0;
  const little = (count: number) => {
    if (at + count > bytes.length) throw wrong();
    let value = 0;
    for (let i = 0; i < count; i++) value += bytes[at++]! * 2 ** (8 * i);
    return value;
  };
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      const count = (short < 60 ? short : little(short - 59)) + 1;
      if (count > bytes.length - at || count > length - to) throw wrong();
      out.set(bytes.subarray(at, at + count), to);
      [at, to] = [at + count, to + count];
      continue;
    }
    const count = kind === 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
    const back = kind === 1 ? (tag >> 5) << 8 | little(1) : little(kind === 2 ? 2 : 4);
    if (back === 0 || back > to || count > length - to) throw wrong();
    for (const end = to + count; to < end; to++) out[to] = out[to - back]!;
  }
  if (to !== length) throw wrong();
  return out;
}
