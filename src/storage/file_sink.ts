/**
 * Writes one file: cuts, hashes, writes and syncs it in one step.
 *
 * @module
 */

import { checkBytes } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { InFlight } from "../async/mod.ts";
import { type ChunkMap, ChunkMapBuilder, MAX_CHUNK_SIZE, sha256 } from "../stream/mod.ts";
import type { MediumFile, WrittenChunk } from "./medium.ts";
import { PacedFile } from "./paced_file.ts";

/** The size of one write: several chunks, since a call costs the same for 256 KiB as for 1 MiB. */
const BLOCK_SIZE = 1024 * 1024;
/** The size of a file's first block, while nothing says that the file is larger. */
const FIRST_BLOCK_SIZE = 16 * 1024;
/** The bytes hashed and written at once, besides the block being filled: six blocks, or fewer of large chunks. */
const BYTES_IN_FLIGHT = 6 * BLOCK_SIZE;
/** The most chunks in a block: a million digests computed at once take gigabytes, and minutes. */
const MAX_BLOCK_CHUNKS = 512;

/** A block that was written, and the digests of its chunks. */
interface WrittenBlock {
  readonly block: Uint8Array;
  readonly chunks: readonly WrittenChunk[];
}

/** The events that a {@linkcode FileSink} reports to its owner. */
export interface FileSinkEvents {
  /** The file is complete. It is the owner's from now on, who makes it durable and closes it. */
  onClose(chunks: ChunkMap, file: PacedFile): Promise<void>;
  /** So many bytes were taken in. */
  readonly onBytes: ((bytes: number) => void) | undefined;
  /** So many chunks were written; throws if they are too many. */
  onChunks(chunks: number): void;
}

/**
 * A file as a sink. It copies bytes into blocks of its own and reuses these: the writer may change its buffer once the
 * write has resolved, and memory stays at seven blocks, or three if a chunk is larger, for a file of any size.
 */
export class FileSink implements UnderlyingSink<Uint8Array> {
  readonly #open: () => Promise<MediumFile>;
  readonly #chunkSize: number | undefined;
  readonly #events: FileSinkEvents;
  readonly #blockSize: number;
  readonly #chunks: ChunkMapBuilder;
  readonly #running = new InFlight<WrittenBlock>();
  /** Bytes of the blocks being hashed and written. */
  #flying = 0;
  readonly #free: Uint8Array[] = [];
  /** Awaited where the file is needed, since on workerd a `start` that fails does not fail the stream. */
  #opening: Promise<PacedFile> | undefined;
  #file: PacedFile | undefined;
  #block: Uint8Array | undefined;
  #filled = 0;
  /** The ends of the chunks in the block, if each piece is a chunk. */
  #ends: number[] = [];
  #position = 0;
  #controller: WritableStreamDefaultController | undefined;
  #discarded: Promise<void> | undefined;

  /**
   * @param open makes the file
   * @param chunkSize the size of its chunks; absent if each piece that is written is one
   * @param events who is told
   */
  constructor(open: () => Promise<MediumFile>, chunkSize: number | undefined, events: FileSinkEvents) {
    this.#open = open;
    this.#chunkSize = chunkSize;
    this.#events = events;
    this.#blockSize = chunkSize === undefined
      ? BLOCK_SIZE
      : Math.max(Math.floor(BLOCK_SIZE / chunkSize), 1) * chunkSize;
    this.#chunks = new ChunkMapBuilder(chunkSize);
  }

  start(controller: WritableStreamDefaultController): void {
    this.#controller = controller;
    this.#opening = (async () => new PacedFile(await this.#open()))();
    this.#opening.catch(() => {});
  }

  async write(piece: Uint8Array): Promise<void> {
    const bytes = checkBytes(piece, "What is written to a file");
    this.#file ??= await this.#opening;
    if (this.#chunkSize === undefined) await this.#writeChunk(bytes);
    else await this.#writePiece(bytes);
    this.#events.onBytes?.(bytes.length);
  }

  /** Takes in a piece, which need not end where a chunk does. */
  async #writePiece(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      this.#block = this.#blockFor(bytes.length - at);
      const taken = Math.min(this.#blockSize - this.#filled, bytes.length - at);
      this.#block.set(at === 0 && taken === bytes.length ? bytes : bytes.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#blockSize) await this.#flush();
    }
  }

  /** The block being filled, with room for more of so many bytes. */
  #blockFor(length: number): Uint8Array {
    const block = this.#block;
    if (block === undefined) return this.#newBlock(length);
    if (block.length === this.#blockSize || this.#filled + length <= block.length) return block;
    const whole = new Uint8Array(this.#blockSize);
    whole.set(block.subarray(0, this.#filled));
    return whole;
  }

  /** A file's first block is short until the file is known to have more: of many files most are small. */
  #newBlock(length: number): Uint8Array {
    if (this.#position === 0 && length <= FIRST_BLOCK_SIZE) return new Uint8Array(FIRST_BLOCK_SIZE);
    return this.#free.pop() ?? new Uint8Array(this.#blockSize);
  }

  /** Takes in a piece that is a chunk. */
  async #writeChunk(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    if (bytes.length > MAX_CHUNK_SIZE) {
      throw new SnapshotError("MALFORMED", `A chunk has at most ${MAX_CHUNK_SIZE} bytes, not ${bytes.length}`, {
        expected: MAX_CHUNK_SIZE,
        actual: bytes.length,
      });
    }
    const isFull = this.#block !== undefined &&
      (this.#filled + bytes.length > this.#block.length || this.#ends.length === MAX_BLOCK_CHUNKS);
    if (isFull) await this.#flush();
    const block = this.#block ??= bytes.length <= this.#blockSize
      ? this.#newBlock(bytes.length)
      : new Uint8Array(bytes.length);
    block.set(bytes, this.#filled);
    this.#ends.push(this.#filled += bytes.length);
  }

  async #flush(): Promise<void> {
    this.#dispatch();
    while (this.#flying >= BYTES_IN_FLIGHT) await this.#settle();
  }

  async close(): Promise<void> {
    try {
      this.#file ??= await this.#opening;
      if (this.#filled > 0) this.#dispatch();
      while (this.#running.size > 0) await this.#settle();
      const chunks = await this.#chunks.build();
      const file = this.#file!;
      this.#opening = this.#file = undefined;
      await this.#events.onClose(chunks, file);
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  abort(): Promise<void> {
    return this.discard();
  }

  /** Fails the stream, and closes the file once nothing is being written to it. */
  discard(reason?: unknown): Promise<void> {
    return this.#discarded ??= (async () => {
      this.#controller?.error(reason);
      await this.#running.settled();
      // The file is being discarded, so further errors do not matter.
      await this.#opening?.then((file) => file.close()).catch(() => {});
      this.#opening = this.#file = undefined;
    })();
  }

  /** Begins hashing and writing the block that was filled. */
  #dispatch(): void {
    const block = this.#block!;
    const bytes = block.subarray(0, this.#filled);
    const digesting: Promise<WrittenChunk>[] = [];
    let at = 0;
    for (const end of this.#chunkEnds(bytes.length)) {
      const chunk = bytes.subarray(at, at = end);
      digesting.push(sha256(chunk).then((digest) => ({ digest, length: chunk.length })));
    }
    const digested = Promise.all(digesting);
    const written = this.#file!.write(bytes, this.#position, digested);
    this.#running.add(Promise.all([digested, written]).then(([chunks]) => ({ block, chunks })));
    this.#flying += block.length;
    this.#position += bytes.length;
    this.#block = undefined;
    this.#ends = [];
    this.#filled = 0;
  }

  /** The ends of the chunks in a block of this length. */
  *#chunkEnds(length: number): Generator<number, void, undefined> {
    if (this.#chunkSize === undefined) yield* this.#ends;
    else for (let at = 0; at < length; at += this.#chunkSize) yield Math.min(at + this.#chunkSize, length);
  }

  async #settle(): Promise<void> {
    const { block, chunks } = await this.#running.next();
    this.#flying -= block.length;
    this.#events.onChunks(chunks.length);
    for (const { digest, length } of chunks) this.#chunks.add(digest, length);
    if (block.length === this.#blockSize) this.#free.push(block);
  }
}
