/**
 * Making archives of stored snapshots: see `format.ts`.
 *
 * @module
 */

import { checkOptions } from "../../checks.ts";
import { archiveMagic, encodeRecord } from "./records.ts";
import { checkChunkSet, type ChunkSet, concat, lastThat, streamFrom, u32 } from "../../stream/mod.ts";
import { END_SIZE, endOf, Type } from "./format.ts";
import { streamedArchive } from "./streamed.ts";
import type { SnapshotManifest } from "../manifest.ts";
import { attributesOf, completeMeta, copied } from "../meta.ts";
import { checkReader } from "../options.ts";
import type { SnapshotReader } from "../reader.ts";

/** The bytes of a PART before those of its chunk: the header of the record, and the number. */
const PART_HEAD = 9;
/** The END of a described archive, as a record. */
const END_RECORD: number = 5 + END_SIZE;

/**
 * Options of {@linkcode archive}.
 *
 * @category Transfer
 */
export interface ArchiveOptions {
  /** Chunks of the content that are left out, since the receiver has them. */
  readonly held?: ChunkSet;
}

/**
 * A snapshot as one stream of bytes: to `PUT` to another node, to keep in a file, to pipe anywhere.
 *
 * @category Transfer
 * @param reader the snapshot; to be kept open until the stream ends
 * @param options what is left out
 * @returns the archive, made as it is read; fails with `CORRUPT` when it comes to a chunk that is
 *
 * @example From one storage to another
 * ```ts
 * import { archive, MemoryStorage, unarchive } from "@snapstream/snapstream";
 *
 * const here = new MemoryStorage();
 * const writer = await here.create();
 * await ReadableStream.from([new Uint8Array(1000)]).pipeTo(writer.file("state"));
 * await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: [] });
 *
 * const there = new MemoryStorage();
 * const reader = await here.open();
 * const { meta } = await unarchive(archive(reader), there);
 * await reader.close();
 * console.assert(meta.lastIncludedIndex === 7n);
 * ```
 */
export function archive(reader: SnapshotReader, options: ArchiveOptions = {}): ReadableStream<Uint8Array> {
  checkReader(reader, "reader");
  const { held } = checkOptions(options, { held: checkChunkSet });
  if (reader.manifest.verifiable) return streamFrom(describedArchive(reader, held));
  // The chunks of a snapshot that braft wrote are found as it is read.
  return streamedArchive(completeMeta(reader.meta, 0), async (writer) => {
    for (const file of reader.manifest.files) {
      await reader.file(file.name, { raw: true }).pipeTo(writer.file(file.name, attributesOf(copied(file))));
    }
  });
}

/**
 * The archive of a snapshot whose chunks are known before it is read.
 *
 * @param reader the snapshot, verifiable
 * @param held the chunks that are left out
 */
export async function* describedArchive(
  reader: Pick<SnapshotReader, "manifest" | "file">,
  held: ChunkSet | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { manifest } = reader;
  const { content } = manifest;
  yield* beginning(manifest);
  let sent = 0;
  for (let first = 0; first < content.count;) {
    if (held?.has(first)) {
      first++;
      continue;
    }
    let end = first + 1;
    while (end < content.count && !held?.has(end)) end++;
    yield* parts(reader, first, end);
    sent += content.offset(end) - content.offset(first);
    first = end;
  }
  yield* encodeRecord(Type.END, endOf(manifest.files.length, sent, manifest.digest));
}

function* beginning(manifest: SnapshotManifest): Generator<Uint8Array, void, undefined> {
  yield archiveMagic();
  yield* encodeRecord(Type.MANIFEST, manifest.bytes);
}

/** Chunks of the content as PARTs. */
async function* parts(
  reader: Pick<SnapshotReader, "manifest" | "file">,
  first: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { content } = reader.manifest;
  let chunk = first;
  for (const { file, start, end: stop } of content.parts(content.offset(first), content.offset(end))) {
    for await (const bytes of reader.file(file.name, { start, end: stop, raw: true })) {
      // In one piece: bodies of many small ones are slow to send, and on Deno very slow to receive.
      yield concat([...encodeRecord(Type.PART, u32(chunk++), bytes)]);
    }
  }
}

/** The size of the archive of a snapshot, in bytes. */
export function archiveSize(manifest: SnapshotManifest): number {
  return beginningSize(manifest) + manifest.content.size + manifest.content.count * PART_HEAD + END_RECORD;
}

function beginningSize(manifest: SnapshotManifest): number {
  return archiveMagic().length + 5 + manifest.bytes.length;
}

/**
 * A part of the archive of a snapshot; only the chunks in it are read.
 *
 * @param reader the snapshot, verifiable
 * @param start the first byte
 * @param end the byte before which it ends, at most {@linkcode archiveSize}
 */
export async function* archiveRange(
  reader: Pick<SnapshotReader, "manifest" | "file">,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { manifest } = reader;
  const { content } = manifest;
  const at = (chunk: number) => beginningSize(manifest) + content.offset(chunk) + chunk * PART_HEAD;
  const first = lastThat(content.count + 1, (chunk) => at(chunk) <= start); // its record has `start`, or is the END
  const after = lastThat(content.count + 1, (chunk) => at(chunk) < end) + 1; // nothing is read ahead beyond the range
  let position = start < beginningSize(manifest) ? 0 : at(first);
  async function* from(): AsyncGenerator<Uint8Array, void, undefined> {
    if (position === 0) yield* beginning(manifest);
    yield* parts(reader, first, Math.min(after, content.count));
    yield* encodeRecord(Type.END, endOf(manifest.files.length, content.size, manifest.digest));
  }
  for await (const piece of from()) {
    const part = piece.subarray(Math.max(start - position, 0), Math.max(end - position, 0));
    position += piece.length;
    if (part.length > 0) yield part;
    if (position >= end) return;
  }
}
