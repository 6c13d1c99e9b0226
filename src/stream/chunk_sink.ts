/**
 * A sink that works on several chunks at the same time.
 *
 * @module
 */

import { checkBytes } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { MAX_CHUNK_SIZE } from "./chunked.ts";
import { InFlight } from "../async/mod.ts";

/** Chunks that are worked on at the same time. */
const IN_FLIGHT = 4;

/** The steps that a {@linkcode ChunkSink} takes with its chunks. */
export interface ChunkSteps<T> {
  /** Runs before the first chunk, or before the end if there is none. */
  begin(): Promise<void>;
  /** Runs for each chunk, several at the same time. It owns the bytes. */
  work(chunk: Uint8Array): Promise<T>;
  /** Runs for the result of each chunk, one after the other. */
  emit(result: T): Promise<void>;
  /** Runs after the last chunk. */
  end(): Promise<void>;
  /** Runs if the stream is aborted. */
  abort?(reason: unknown): Promise<void>;
}

/** A sink that cuts bytes into chunks. It copies them, so the caller may change them afterwards. */
export class ChunkSink<T> implements UnderlyingSink<Uint8Array> {
  readonly #chunkSize: number | undefined;
  readonly #most: number;
  readonly #steps: ChunkSteps<T>;
  readonly #running: InFlight<T>;
  #begun = false;
  #chunk: Uint8Array | undefined;
  #filled = 0;

  /**
   * Makes a sink.
   *
   * @param chunkSize the size of the chunks, but of the last; absent if each piece that is written is one
   * @param steps what is done with them
   * @param most how large a piece may be
   */
  constructor(chunkSize: number | undefined, steps: ChunkSteps<T>, most: number = MAX_CHUNK_SIZE) {
    this.#chunkSize = chunkSize;
    this.#steps = steps;
    this.#most = most;
    this.#running = new InFlight(() => IN_FLIGHT, (result) => steps.emit(result));
  }

  async write(piece: Uint8Array): Promise<void> {
    const bytes = checkBytes(piece, "What is written to a file");
    await this.#begin();
    if (this.#chunkSize === undefined && bytes.length > this.#most) {
      throw new SnapshotError("MALFORMED", `A chunk has at most ${this.#most} bytes here, not ${bytes.length}`, {
        expected: this.#most,
        actual: bytes.length,
      });
    }
    for (let at = 0; at < bytes.length;) {
      this.#chunk ??= new Uint8Array(this.#chunkSize ?? bytes.length);
      const taken = Math.min(this.#chunk.length - this.#filled, bytes.length - at);
      this.#chunk.set(bytes.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#chunk.length) await this.#flush();
    }
  }

  async close(): Promise<void> {
    await this.#begin();
    if (this.#filled > 0) await this.#flush();
    await this.#running.drain();
    await this.#steps.end();
  }

  async abort(reason: unknown): Promise<void> {
    await this.#steps.abort?.(reason);
  }

  async #begin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    await this.#steps.begin();
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk!.subarray(0, this.#filled);
    this.#chunk = undefined;
    this.#filled = 0;
    await this.#running.add(this.#steps.work(chunk));
  }
}
