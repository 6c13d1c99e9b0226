/**
 * A segment of a log as an object of a bucket.
 *
 * ```text
 * "snaplog" || u8 version (1) || u8 compression (0 none, 1 gzip, 2 zstd)
 * a stream of log/records.ts with header and end, compressed
 * SHA-256 of all that is before it
 * ```
 *
 * Its key says its first entry. It is written once, and never changed.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";
import { type LogBatch, LogReader, type LogReaderOptions } from "../log/mod.ts";
import { builtinModule, bytesOfText, concat, DIGEST_SIZE, equal, sha256, toHex } from "../stream/mod.ts";

/** How segments are compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** The largest object, in bytes: a segment and its framing, and one record that was too large for it. */
export const MAX_SEGMENT: number = 160 * 1024 * 1024;

/** The most that `node:zlib` of workerd can be told to unpack, in bytes. A larger segment, which is rare, is gzip. */
const MAX_ZSTD = 128 * 1024 * 1024;

const MAGIC = "snaplog";
const VERSION = 1;
const HEAD = MAGIC.length + 2;
const COMPRESSIONS: readonly Compression[] = ["none", "gzip", "zstd"];

/** What is used of `node:zlib`, where that has it. */
interface NativeZstd {
  zstdCompressSync?(bytes: Uint8Array): Uint8Array;
  zstdDecompressSync?(bytes: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array;
}

/** Makes an object of a log's stream. */
export async function encodeSegment(stream: Uint8Array, wanted: Compression): Promise<Uint8Array> {
  const compression = wanted === "zstd" && stream.length > MAX_ZSTD ? "gzip" : wanted;
  const packed = compression === "none"
    ? stream
    : compression === "gzip"
    ? await through(stream, new CompressionStream("gzip"), MAX_SEGMENT)
    : zstd("zstdCompressSync")(stream);
  const head = concat([bytesOfText(MAGIC), Uint8Array.of(VERSION, COMPRESSIONS.indexOf(compression))]);
  const body = concat([head, packed]);
  return concat([body, await sha256(body)]);
}

/**
 * Takes a log's stream out of an object.
 *
 * @throws {SnapshotError} `CORRUPT` if its digest is wrong, `MALFORMED` if it is no segment, `UNSUPPORTED`
 */
export async function openSegment(bytes: Uint8Array, key: string): Promise<Uint8Array> {
  const end = bytes.length - DIGEST_SIZE;
  if (end < HEAD || !equal(bytes.subarray(0, MAGIC.length), bytesOfText(MAGIC))) {
    throw new SnapshotError("CORRUPT", `${key} is no segment of a log`, { file: key });
  }
  const digest = await sha256(bytes.subarray(0, end));
  if (!equal(digest, bytes.subarray(end))) {
    throw new SnapshotError("CORRUPT", `${key} is not what was written`, {
      file: key,
      expected: toHex(bytes.subarray(end)),
      actual: toHex(digest),
    });
  }
  const [version, kind] = [bytes[MAGIC.length]!, COMPRESSIONS[bytes[MAGIC.length + 1]!]];
  if (version !== VERSION || kind === undefined) {
    throw new SnapshotError("UNSUPPORTED", `${key} is a segment of version ${version}: use a newer release`, {
      file: key,
      actual: version,
    });
  }
  const packed = bytes.subarray(HEAD, end);
  if (kind === "none") return packed;
  try {
    if (kind === "gzip") return await through(packed, new DecompressionStream("gzip"), MAX_SEGMENT);
    return zstd("zstdDecompressSync")(packed, { maxOutputLength: MAX_ZSTD });
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `${key} cannot be decompressed: ${messageOf(error)}`, { file: key });
  }
}

/**
 * Reads the batches of a segment, each verified.
 *
 * @param stream the stream
 * @param options what is known of the history before it
 * @throws {SnapshotError} as {@linkcode LogReader} does; `CORRUPT` if it has no end
 */
export function* readSegment(stream: Uint8Array, options: LogReaderOptions): Generator<LogBatch, void, undefined> {
  const reader = new LogReader(options);
  for (const record of reader.read(stream)) if (record.kind === "batch") yield record.batch;
  if (!reader.isWhole) {
    throw new SnapshotError("CORRUPT", `${options.source} was cut: it has no end`, { file: options.source });
  }
}

async function through(
  bytes: Uint8Array,
  transform: CompressionStream | DecompressionStream,
  limit: number,
): Promise<Uint8Array> {
  const writer = transform.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>;
  const writing = writer.write(bytes).then(() => writer.close());
  writing.catch(() => {}); // the reader fails with it
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = (transform.readable as ReadableStream<Uint8Array>).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    length += read.value.length;
    if (length > limit) {
      void reader.cancel().catch(() => {});
      throw new SnapshotError("MALFORMED", `A segment expands to more than ${limit} bytes`);
    }
    parts.push(read.value);
  }
  await writing;
  return concat(parts);
}

/** Reports whether the runtime has zstd. */
export function hasZstd(): boolean {
  return nativeZlib()?.zstdCompressSync !== undefined;
}

function zstd<K extends keyof NativeZstd>(name: K): NonNullable<NativeZstd[K]> {
  const work = nativeZlib()?.[name];
  if (work !== undefined) return work as NonNullable<NativeZstd[K]>;
  throw noZstd();
}

/** The error of a runtime without zstd. */
export function noZstd(): SnapshotError {
  return new SnapshotError("UNSUPPORTED", "This runtime has no zstd (Node 22.15, Deno and Bun have): use gzip");
}

function nativeZlib(): NativeZstd | undefined {
  return builtinModule<NativeZstd>("node:zlib");
}
