/**
 * Archives of tar, compressed by gzip, as a stream: only what Go's `archive/tar` writes for a snapshot.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import { streamFrom } from "../../stream/mod.ts";
import type { PieceReader } from "../bytes/piece_reader.ts";
import { readBlocks, type SourceFiles } from "../files.ts";

/** The bytes of a header, to which content is padded too. */
export const TAR_BLOCK = 512;
/** The types of entries: a file, as two programs say it, and what PAX says of the next one. */
const Type = { OLD_FILE: 0, FILE: 0x30, PAX: 0x78 } as const;
/** The most bytes of zeros with which an archive ends: programs fill up a record, of 10 KiB mostly. */
const MAX_END = 1024 * 1024;
/** The most bytes of what PAX says. */
const MAX_PAX = 8192;
/** Bytes that are decompressed at a time, to a thousand times as many at the most. */
const PIECE = 16 * 1024;

/** A file in a tar archive: its header was read, and its content is next. */
export interface TarEntry {
  readonly name: string;
  readonly size: number;
}

/**
 * The decompressed bytes of a file. All runtimes refuse a trailer of gzip that is wrong or missing, and bytes behind
 * it; Node 22 and Bun take a second stream there, whose bytes then follow the end of the archive.
 */
export async function* gunzipped(
  files: SourceFiles,
  name: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const packed = streamFrom(pieces(readBlocks(files, name, 0, Infinity, { signal })));
  const unpacked = packed.pipeThrough(new DecompressionStream("gzip") as TransformStream<Uint8Array, Uint8Array>);
  const reader = unpacked.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw damaged(name, `it cannot be decompressed (${messageOf(error)})`, error);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Pieces so small that none of them can become more than some MiB. */
async function* pieces(blocks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const block of blocks) {
    for (let at = 0; at < block.length; at += PIECE) yield block.subarray(at, at + PIECE);
  }
}

/** The next file; nothing at the end of the archive. Go says the size of one of 8 GiB or more before it, as in PAX. */
export async function nextEntry(reader: PieceReader, archive: string): Promise<TarEntry | undefined> {
  const entry = await nextHeader(reader, archive);
  if (entry?.type !== Type.PAX) return entry;
  if (entry.size > MAX_PAX) throw damaged(archive, `what PAX says of a file has ${entry.size} bytes`);
  const records = new TextDecoder().decode(await reader.exactly(entry.size));
  await reader.skip(paddingOf(entry.size));
  const file = await nextHeader(reader, archive);
  if (file === undefined || file.type === Type.PAX) throw damaged(archive, "what PAX says is of no file");
  return { ...file, ...paxOf(records, archive) };
}

/** What is said in lines, each with its length before it: nothing but a name and a size matters here. */
function paxOf(records: string, archive: string): Partial<TarEntry> {
  const size = /(?:^|\n)\d+ size=(\d{1,15})\n/.exec(records)?.[1];
  const other = /(?:^|\n)\d+ (?!size=|[amc]time=)([^=]*)=/.exec(records)?.[1];
  if (other !== undefined) throw damaged(archive, `PAX says the ${JSON.stringify(other)} of a file`);
  return size === undefined ? {} : { size: Number(size) };
}

interface TarHeader extends TarEntry {
  readonly type: number;
}

async function nextHeader(reader: PieceReader, archive: string): Promise<TarHeader | undefined> {
  const header = await reader.exactly(TAR_BLOCK);
  if (header.every((byte) => byte === 0)) {
    const [second, end] = [await reader.exactly(TAR_BLOCK), reader.position + MAX_END];
    for (let rest: Uint8Array | undefined = second; rest !== undefined; rest = await reader.some(TAR_BLOCK)) {
      if (reader.position > end || rest.some((byte) => byte !== 0)) throw damaged(archive, "something follows its end");
    }
    return undefined;
  }
  const text = (start: number, length: number) => {
    const field = header.subarray(start, start + length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  };
  const sum = header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  if (Number.parseInt(text(148, 8), 8) !== sum) throw damaged(archive, "a header of tar does not have its checksum");
  const type = header[156]!;
  if (!Object.values<number>(Type).includes(type)) {
    throw damaged(archive, `it has an entry of type ${JSON.stringify(String.fromCharCode(type))}`);
  }
  const prefix = text(257, 6) === "ustar" ? text(345, 155) : "";
  const name = prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`;
  return { name, type, size: sizeOf(header.subarray(124, 136), archive) };
}

/** Reports whether a block is a header, by the magic in it. */
export function isTarHeader(block: Uint8Array): boolean {
  return new TextDecoder().decode(block.subarray(257, 262)) === "ustar";
}

/** The size of an entry: octal digits, or (from 8 GiB on) big-endian with the first bit set. */
function sizeOf(field: Uint8Array, archive: string): number {
  const digits = new TextDecoder().decode(field).replace(/[\0 ]+$/, "");
  const size = (field[0]! & 0x80) !== 0
    ? field.reduce((sum, byte, i) => sum * 256 + (i === 0 ? byte & 0x7f : byte), 0)
    : /^[0-7]{1,12}$/.test(digits)
    ? Number.parseInt(digits, 8)
    : NaN;
  if (Number.isSafeInteger(size)) return size;
  throw damaged(archive, "a header of tar says no size");
}

/** The bytes with which an entry's content is padded. */
export function paddingOf(size: number): number {
  return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/** Encodes the header of an entry as Go's `archive/tar` does: ustar, mode 0600, owned by nobody in particular. */
export function encodeTarHeader(name: string, size: number, seconds: number): Uint8Array {
  const header = new Uint8Array(TAR_BLOCK);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  put(0, name);
  put(100, octal(0o600, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  if (size < 8 ** 11) put(124, octal(size, 11));
  else {
    new DataView(header.buffer).setBigUint64(128, BigInt(size));
    header[124] = 0x80;
  }
  put(136, octal(seconds, 11));
  put(148, " ".repeat(8));
  put(156, "0");
  put(257, "ustar\x0000");
  put(148, `${octal(header.reduce((sum, byte) => sum + byte, 0), 6)} `);
  return header;
}

/** The error for an archive that is not as it was written. */
export function damaged(archive: string, what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("CORRUPT", `The archive ${JSON.stringify(archive)} is damaged: ${what}`, {
    file: archive,
    cause,
  });
}
