/**
 * A snapshot as one stream, written in one pass with nothing known in advance.
 *
 * ```text
 * archive  = magic HEADER file* END                        records: see stream/records.ts
 * file     = FILE CHUNK* FILE_END
 * HEADER   (1) a manifest with the meta and no files
 * FILE     (2) chunk size (u32 big-endian; 0 if chunks have different ones), a manifest with this one file as braft
 *              would write it
 * CHUNK    (3) SHA-256 of the bytes (32), the bytes: of the chunk size, but for the last of a file
 * FILE_END (4) size of the file (u64), its key groups (`KeyGroups` of manifest.proto) if it has any
 * END      (5) files (u32), bytes of all files (u64), snapshot digest (32)
 * ```
 *
 * The end of a stream proves nothing (workerd ends a failed upload cleanly): complete is what has its END record, and
 * nothing after it. The snapshot digest covers all that was sent, since the manifest is built again from it.
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  archiveMagic,
  type ArchiveRecord,
  chunked,
  ChunkMapBuilder,
  decodeRecords,
  DEFAULT_CHUNK_SIZE,
  DIGEST_SIZE,
  digested,
  type DigestedChunk,
  encodeRecord,
  equal,
  InFlight,
  MAX_CHUNK_SIZE,
  Operation,
  sha256,
  toHex,
  type Tracker,
  u32,
  u64,
} from "../stream/mod.ts";
import { decodeKeyGroups, encodeKeyGroups, MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";
import { MAX_MANIFEST_BYTES, SnapshotManifest } from "./manifest.ts";
import { completeFile, completeMeta, type FileInfo, type KeyGroupOffsets, type SnapshotMeta } from "./meta.ts";
import type { SnapshotInfo, SnapshotReader, SnapshotStorage, SnapshotWriter } from "./storage.ts";

const Type = { HEADER: 1, FILE: 2, CHUNK: 3, FILE_END: 4, END: 5 } as const;
const CHUNKS_IN_FLIGHT = 4;

/**
 * A snapshot as one stream of bytes: to `PUT` to another node, to keep in a file, to pipe anywhere.
 *
 * @param reader the snapshot; to be kept open until the stream ends
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
 * const { meta } = await unarchive(archive(reader), there).result;
 * await reader.close();
 * console.assert(meta.lastIncludedIndex === 7n);
 * ```
 */
export function archive(reader: SnapshotReader): ReadableStream<Uint8Array> {
  return ReadableStream.from(encodeArchive(reader));
}

async function* encodeArchive(reader: SnapshotReader): AsyncGenerator<Uint8Array, void, undefined> {
  const meta = completeMeta(reader.meta, 0);
  const { createdAt: _, ...bare } = meta;
  yield archiveMagic();
  yield* encodeRecord(Type.HEADER, (await SnapshotManifest.of(meta, [])).bytes);
  const files: FileInfo[] = [];
  let total = 0;
  for (const { chunks: known, ...file } of reader.manifest.files) {
    const chunking = known?.chunking ?? { chunkSize: DEFAULT_CHUNK_SIZE };
    const chunkSize = "chunkSize" in chunking ? chunking.chunkSize : undefined;
    yield* encodeRecord(Type.FILE, u32(chunkSize ?? 0), (await SnapshotManifest.of(bare, [file])).bytes);
    const builder = new ChunkMapBuilder(chunkSize);
    let size = 0;
    for await (const { bytes, digest } of digestedFile(reader, file.name)) {
      yield* encodeRecord(Type.CHUNK, digest, bytes);
      builder.add(digest, bytes.length);
      size += bytes.length;
    }
    const groups = file.keyGroups === undefined ? new Uint8Array(0) : encodeKeyGroups(file.keyGroups);
    yield* encodeRecord(Type.FILE_END, u64(size), groups);
    files.push(completeFile(file, await builder.build()));
    total += size;
  }
  const { digest } = await SnapshotManifest.of(meta, files);
  yield* encodeRecord(Type.END, u32(files.length), u64(total), digest);
}

/** The chunks of a file with their digests: those that the reader verified, or computed now. */
async function* digestedFile(reader: SnapshotReader, name: string): AsyncGenerator<DigestedChunk, void, undefined> {
  const { chunks } = reader.info(name);
  if (chunks === undefined) {
    yield* reader.file(name).pipeThrough(chunked(DEFAULT_CHUNK_SIZE)).pipeThrough(digested());
    return;
  }
  let i = 0;
  for await (const bytes of reader.file(name)) yield { bytes, digest: chunks.digest(i++) };
}

/** Options of {@linkcode unarchive}. */
export interface UnarchiveOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /** The index that the snapshot must have; any if absent. */
  readonly index?: bigint | undefined;
}

/**
 * Takes an archive into a storage. Nothing is kept of it unless it is complete and right to the last bit.
 *
 * @param stream the archive; cancelled if it is not wanted any more
 * @param storage where to
 * @param options the signal, and what is expected
 * @returns work that gives the snapshot, and fails with `MALFORMED`, `CORRUPT` or `UNSUPPORTED` for what is not a right
 *   archive, `STALE` if it is not newer than what is here, `BUSY` while another snapshot is being written
 */
export function unarchive(
  stream: ReadableStream<Uint8Array>,
  storage: SnapshotStorage,
  options: UnarchiveOptions = {},
): Operation<SnapshotInfo> {
  return new Operation((tracker) => new Unarchiver(storage, options, tracker).run(stream));
}

/** The largest payload of each type of record. Anything else is not allowed at all. */
function limitOf(type: number): number {
  switch (type) {
    case Type.HEADER:
      return 1024 * 1024;
    case Type.FILE:
      return 16 * 1024 * 1024;
    case Type.CHUNK:
      return DIGEST_SIZE + MAX_CHUNK_SIZE;
    case Type.FILE_END:
      return 8 + MAX_KEY_GROUPS_BYTES;
    case Type.END:
      return 12 + DIGEST_SIZE;
    default:
      return -1;
  }
}

class Unarchiver {
  readonly #storage: SnapshotStorage;
  readonly #options: UnarchiveOptions;
  readonly #tracker: Tracker;
  #described = 0;

  constructor(storage: SnapshotStorage, options: UnarchiveOptions, tracker: Tracker) {
    this.#storage = storage;
    this.#options = options;
    this.#tracker = tracker;
  }

  async run(stream: ReadableStream<Uint8Array>): Promise<SnapshotInfo> {
    const { signal } = this.#options;
    const records = decodeRecords(stream, limitOf, signal);
    try {
      const first = await records.next();
      if (first.done || first.value.type !== Type.HEADER) throw malformed("it does not begin with a HEADER");
      const { meta, files, bytes } = await SnapshotManifest.decode(first.value.payload);
      if (files.length > 0 || meta.createdAt === undefined || !equal(bytes, first.value.payload)) {
        throw malformed("its HEADER is not what an archive has there");
      }
      await this.#checkWanted(meta);
      this.#tracker.phase("receive");
      const writer = await this.#storage.create();
      const onAbort = () => void writer.abort(signal!.reason).catch(() => {});
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        const digest = await this.#receive(records, writer, meta);
        this.#tracker.phase("commit");
        return await writer.commit(meta, { digest });
      } catch (error) {
        await writer.abort(error);
        throwIfCancelled(signal);
        throw error;
      } finally {
        signal?.removeEventListener("abort", onAbort);
      }
    } finally {
      await records.return();
    }
  }

  /** Refuses early what the commit would refuse after everything was received. */
  async #checkWanted(meta: SnapshotMeta): Promise<void> {
    const { lastIncludedIndex: index } = meta;
    const { index: expected } = this.#options;
    if (expected !== undefined && index !== expected) {
      throw new SnapshotError("MALFORMED", `The archive is of snapshot ${index}, not of ${expected}`, {
        index,
        expected,
        actual: index,
      });
    }
    const [newest] = await this.#storage.list();
    if (newest !== undefined && index <= newest.meta.lastIncludedIndex) throw stale(index, newest.meta);
  }

  /** Writes all files, and returns the digest that the snapshot must have. */
  async #receive(
    records: AsyncGenerator<ArchiveRecord>,
    writer: SnapshotWriter,
    meta: SnapshotMeta,
  ): Promise<Uint8Array> {
    const { createdAt: _, ...bare } = meta;
    let files = 0;
    let total = 0;
    for (;;) {
      const { done, value: record } = await records.next();
      if (done) throw new SnapshotError("CORRUPT", "The archive was cut short: it has no END");
      if (record.type === Type.END) {
        await this.#checkEnd(records, record.payload, files, total);
        return record.payload.slice(12);
      }
      if (record.type !== Type.FILE || record.payload.length < 4) {
        throw malformed(`a record of type ${record.type} where a FILE or the END should be`);
      }
      this.#describe(record.payload);
      total += await this.#receiveFile(records, writer, record.payload, bare);
      files++;
    }
  }

  async #receiveFile(
    records: AsyncGenerator<ArchiveRecord>,
    writer: SnapshotWriter,
    head: Uint8Array,
    bare: SnapshotMeta,
  ): Promise<number> {
    const chunkSize = view(head).getUint32(0);
    const described = await SnapshotManifest.decode(head.subarray(4));
    const [info] = described.files;
    if (info === undefined || described.files.length > 1) throw malformed("a FILE that is not of one file");
    const { bytes } = await SnapshotManifest.of(bare, [info]);
    if (!equal(bytes, head.subarray(4))) {
      throw new SnapshotError("CORRUPT", `The archive does not describe ${JSON.stringify(info.name)} as it should`, {
        file: info.name,
      });
    }
    const { name, ...attributes } = info;
    let keyGroups: KeyGroupOffsets | undefined;
    const sink = writer.file(name, {
      ...attributes,
      chunkSize: chunkSize === 0 ? "pieces" : chunkSize,
      keyGroups: () => keyGroups,
    }).getWriter();
    sink.closed.catch(() => {});
    const checked = new InFlight<Uint8Array>();
    let size = 0;
    let chunk = 0;
    const write = async () => {
      await sink.ready;
      const bytes = await checked.next();
      sink.write(bytes).catch(() => {}); // a failed write rejects `ready` and `close`
      this.#tracker.add(bytes.length);
    };
    try {
      for (;;) {
        const { done, value: record } = await records.next();
        if (done) {
          throw new SnapshotError("CORRUPT", `The archive was cut short in ${JSON.stringify(name)}`, { file: name });
        }
        if (record.type === Type.FILE_END) {
          if (record.payload.length < 8 || view(record.payload).getBigUint64(0) !== BigInt(size)) {
            throw new SnapshotError("CORRUPT", `The archive lost a part of ${JSON.stringify(name)}`, { file: name });
          }
          this.#describe(record.payload);
          if (record.payload.length > 8) keyGroups = decodeKeyGroups(record.payload.subarray(8));
          while (checked.size > 0) await write();
          await sink.close();
          return size;
        }
        if (record.type !== Type.CHUNK || record.payload.length <= DIGEST_SIZE) {
          throw malformed(`a record of type ${record.type} where a CHUNK or a FILE_END should be`);
        }
        checked.add(checkChunk(name, chunk++, record.payload));
        size += record.payload.length - DIGEST_SIZE;
        if (checked.size >= CHUNKS_IN_FLIGHT) await write();
      }
    } catch (error) {
      await sink.abort(error).catch(() => {});
      throw error;
    }
  }

  /** Counts what goes into the manifest. */
  #describe(payload: Uint8Array): void {
    this.#described += payload.length;
    if (this.#described > MAX_MANIFEST_BYTES) throw malformed("it has more files than a manifest can hold");
  }

  async #checkEnd(
    records: AsyncGenerator<unknown>,
    end: Uint8Array,
    files: number,
    total: number,
  ): Promise<void> {
    if (end.length !== 12 + DIGEST_SIZE) throw malformed(`an END of ${end.length} bytes`);
    if (view(end).getUint32(0) !== files || view(end).getBigUint64(4) !== BigInt(total)) {
      throw new SnapshotError("CORRUPT", "The archive lost a file: its totals do not match", {
        expected: view(end).getBigUint64(4),
        actual: total,
      });
    }
    if (!(await records.next()).done) throw malformed("something follows its END");
  }
}

async function checkChunk(file: string, chunk: number, payload: Uint8Array): Promise<Uint8Array> {
  const bytes = payload.subarray(DIGEST_SIZE);
  const digest = await sha256(bytes);
  if (equal(digest, payload.subarray(0, DIGEST_SIZE))) return bytes;
  throw new SnapshotError(
    "CORRUPT",
    `Chunk ${chunk} of ${JSON.stringify(file)} in the archive does not have its SHA-256`,
    {
      file,
      chunk,
      expected: toHex(payload.subarray(0, DIGEST_SIZE)),
      actual: toHex(digest),
    },
  );
}

/** The error for a snapshot that is not newer than the newest. */
export function stale(index: bigint, newest: SnapshotMeta): SnapshotError {
  return new SnapshotError(
    "STALE",
    `Snapshot ${index} is not newer than snapshot ${newest.lastIncludedIndex}, which is here`,
    {
      index,
      actual: newest.lastIncludedIndex,
    },
  );
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not a right archive: ${what}`);
}
