/**
 * The upload of one lease: gathers chunks into packs and writes these to a bucket.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { toHex } from "../../stream/mod.ts";
import type { WrittenChunk } from "../medium.ts";
import { type ChunkPlace, ChunkTable } from "./chunk_table.ts";
import { randomName } from "./index.ts";
import { LocatedManifest, type Pack } from "./located_manifest.ts";
import { END_SIZE, type PackedChunk, readTable, tableSize, tableSizeOf, writeTable } from "./pack.ts";
import type { RetryingBucket } from "../../bucket/mod.ts";

/** Packs uploaded at the same time, besides the one that is being filled. */
const UPLOADS = 3;
/** The most chunks in a pack, since tiny files make many. */
const MAX_PACK_CHUNKS = 16_384;
/** Packs of which a snapshot uses less than this are not reused: their chunks go up anew, so they can be deleted. */
const LEAST_USED = 0.25;
/** The bytes of a pack's buffer at first. */
const FIRST_BUFFER = 256 * 1024;
/** The bytes at the end of a pack that are read first: they contain the table, for chunks of the usual size. */
const FIRST_TABLE_READ = 16 * 1024;

/** A pack of an upload. */
interface UploadedPack {
  readonly name: string;
  size: number;
  /** Its bytes, until it is in the bucket. */
  bytes?: Uint8Array;
}

/** The pack that is being filled. */
interface Filling {
  readonly pack: UploadedPack;
  readonly number: number;
  readonly chunks: PackedChunk[];
}

/** Chunks on their way into a bucket. */
export class Upload {
  /** The lease. */
  readonly id: string;
  readonly #bucket: RetryingBucket;
  readonly #packSize: number;
  /** A part of the names of packs: two processes that resume the same install never write the same pack. */
  readonly #session = randomName(4);
  readonly #table = new ChunkTable();
  readonly #packs: UploadedPack[] = [];
  readonly #free: Uint8Array[] = [];
  readonly #uploading = new Set<Promise<void>>();
  readonly #givenUp = new AbortController();
  #filling: Filling | undefined;
  #written = 0;
  /** Chunks are packed in the order in which their writes were begun. */
  #turn: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  /**
   * @param bucket where to
   * @param id the lease
   * @param packSize the bytes of a pack
   */
  constructor(bucket: RetryingBucket, id: string, packSize: number) {
    this.#bucket = bucket;
    this.id = id;
    this.#packSize = packSize;
  }

  /** Notes the chunks of a snapshot that is kept as long as the lease: they need not be uploaded again. */
  reuse(located: LocatedManifest): void {
    const used = located.used();
    const numbers = located.packs.map(({ name, size }, i) =>
      used[i]! < size * LEAST_USED ? undefined : this.#packs.push({ name, size }) - 1
    );
    const { content } = located.manifest;
    for (let i = 0; i < content.count; i++) {
      const pack = numbers[located.packOf(i)];
      if (pack === undefined) continue;
      const { file, chunk } = content.locate(i);
      this.#table.set(file.chunks.digest(chunk), {
        pack,
        offset: located.locate(i).offset,
        length: file.chunks.length(chunk),
      });
    }
  }

  /** Notes the chunks that the bucket has under this lease, when an install is resumed. */
  async adopt(signal?: AbortSignal): Promise<void> {
    for await (const { key, size } of this.#bucket.list(`packs/${this.id}/`, signal)) {
      const name = key.slice("packs/".length);
      try {
        const chunks = await this.#tableOf(key, size, signal);
        const table = tableSize(chunks.length);
        const pack = this.#packs.push({ name, size: size - table }) - 1;
        for (const { digest, offset, length } of chunks) this.#table.set(digest, { pack, offset, length });
      } catch (error) {
        if (!hasCode(error, "CORRUPT", "NOT_FOUND")) throw error; // its chunks are uploaded again
      }
    }
  }

  async #tableOf(key: string, size: number, signal: AbortSignal | undefined): Promise<PackedChunk[]> {
    const read = async (length: number) => {
      const range = { start: Math.max(size - length, 0), end: size };
      return (await this.#bucket.read(key, { range, limit: length, signal }))?.bytes ?? new Uint8Array(0);
    };
    let bytes = size < END_SIZE ? new Uint8Array(0) : await read(FIRST_TABLE_READ);
    const length = tableSizeOf(bytes) ?? 0;
    if (length > bytes.length && length <= size) bytes = await read(length);
    return await readTable(bytes.subarray(Math.max(bytes.length - length, 0)), size, key);
  }

  /** Reports whether a chunk is in the bucket, or being uploaded to it. */
  has(digest: Uint8Array): boolean {
    return this.#table.find(digest) !== undefined;
  }

  /**
   * Takes in adjacent chunks; those that are here already cost nothing. Resolves when the caller may change the bytes;
   * the chunks are in the bucket when {@linkcode flush} has resolved.
   *
   * @throws {SnapshotError} also the error of an upload in the background
   */
  write(bytes: Uint8Array, chunks: Promise<readonly WrittenChunk[]>): Promise<void> {
    const written = this.#turn.then(async () => {
      let at = 0;
      for (const { digest, length } of await chunks) await this.#add(digest, bytes.subarray(at, at += length));
    });
    this.#turn = written.catch(() => {});
    return written;
  }

  async #add(digest: Uint8Array, bytes: Uint8Array): Promise<void> {
    this.#check();
    if (this.has(digest)) return;
    const full = this.#filling !== undefined && (this.#filling.pack.size + bytes.length > this.#packSize ||
      this.#filling.chunks.length === MAX_PACK_CHUNKS);
    if (full) await this.#seal();
    const filling = this.#filling ??= await this.#begin();
    const { pack, number, chunks } = filling;
    const offset = pack.size;
    this.#makeRoom(pack, offset + bytes.length + tableSize(chunks.length + 1));
    pack.bytes!.set(bytes, offset);
    pack.size += bytes.length;
    chunks.push({ digest, offset, length: bytes.length });
    this.#table.set(digest, { pack: number, offset, length: bytes.length });
  }

  async #begin(): Promise<Filling> {
    while (this.#uploading.size >= UPLOADS) await Promise.race(this.#uploading);
    this.#check();
    const name = `${this.id}/${this.#session}-${String(this.#written++).padStart(6, "0")}`;
    const pack: UploadedPack = { name, size: 0, bytes: this.#free.pop() ?? new Uint8Array(FIRST_BUFFER) };
    return { pack, number: this.#packs.push(pack) - 1, chunks: [] };
  }

  /** Makes the buffer of a pack longer, if that is too short: most snapshots are much smaller than a pack. */
  #makeRoom(pack: UploadedPack, length: number): void {
    const bytes = pack.bytes!;
    if (length <= bytes.length) return;
    const most = this.#packSize + tableSize(MAX_PACK_CHUNKS);
    pack.bytes = new Uint8Array(Math.max(Math.min(2 * bytes.length, most), length));
    pack.bytes.set(bytes.subarray(0, pack.size));
  }

  /** Begins to upload the pack that was being filled. */
  async #seal(): Promise<void> {
    const { pack, chunks } = this.#filling!;
    this.#filling = undefined;
    const bytes = pack.bytes!;
    const length = pack.size + tableSize(chunks.length);
    await writeTable(chunks, bytes.subarray(pack.size, length));
    const uploading: Promise<void> = this.#send(pack, bytes, length).finally(() => this.#uploading.delete(uploading));
    this.#uploading.add(uploading);
  }

  async #send(pack: UploadedPack, bytes: Uint8Array, length: number): Promise<void> {
    try {
      await this.#bucket.put(`packs/${pack.name}`, bytes.subarray(0, length), this.#givenUp.signal);
      delete pack.bytes;
      this.#free.push(bytes);
    } catch (error) {
      this.#failure ??= error;
    }
  }

  /** Waits until all chunks that were written are in the bucket. */
  async flush(): Promise<void> {
    const flushed = this.#turn.then(async () => {
      this.#check();
      if (this.#filling !== undefined) await this.#seal();
      await Promise.all(this.#uploading);
      this.#check();
    });
    this.#turn = flushed.catch(() => {});
    await flushed;
  }

  /** Aborts the running uploads, and waits for their end. */
  async stop(): Promise<void> {
    this.#failure ??= closed();
    this.#givenUp.abort(closed());
    await this.#turn;
    await Promise.all(this.#uploading);
  }

  /** True once an upload has failed: no more are possible. */
  get broken(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * Reads a chunk that is here.
   *
   * @returns its bytes; nothing if it is not here
   */
  async read(digest: Uint8Array): Promise<Uint8Array | undefined> {
    const found = this.#table.find(digest);
    if (found === undefined) return undefined;
    const { name, bytes } = this.#packs[found.pack]!;
    const [start, end] = [found.offset, found.offset + found.length];
    if (bytes !== undefined) return bytes.slice(start, end);
    return (await this.#bucket.read(`packs/${name}`, { range: { start, end }, limit: end - start }))?.bytes;
  }

  /**
   * Returns the places of the chunks of a snapshot.
   *
   * @throws {SnapshotError} `MALFORMED` if one is not here
   */
  locate(manifest: SnapshotManifest): LocatedManifest {
    const { content } = manifest;
    const numbers = new Map<number, number>();
    const packs: Pack[] = [];
    const [chunkPacks, chunkOffsets] = [new Uint32Array(content.count), new Uint32Array(content.count)];
    for (let i = 0; i < content.count; i++) {
      const { file, chunk } = content.locate(i);
      const place = this.#placeOf(file.chunks.digest(chunk), file.chunks.length(chunk), file.name, chunk);
      let number = numbers.get(place.pack);
      if (number === undefined) {
        const { name, size } = this.#packs[place.pack]!;
        numbers.set(place.pack, number = packs.push({ name, size }) - 1);
      }
      chunkPacks[i] = number;
      chunkOffsets[i] = place.offset;
    }
    return new LocatedManifest(manifest, packs, chunkPacks, chunkOffsets);
  }

  #placeOf(digest: Uint8Array, length: number, file: string, chunk: number): ChunkPlace {
    const place = this.#table.find(digest);
    if (place?.length === length) return place;
    throw new SnapshotError("MALFORMED", `Chunk ${chunk} of ${JSON.stringify(file)} was not written`, {
      file,
      chunk,
      expected: toHex(digest),
    });
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "This snapshot is not being written any more");
}
