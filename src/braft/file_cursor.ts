/**
 * Reading a file in parts, one after the other.
 *
 * @module
 */

import type { SnapshotReader } from "../snapshot/mod.ts";

/** A part of a file. */
export interface FilePart {
  readonly pieces: readonly Uint8Array[];
  /** The file ends where the part does. */
  readonly eof: boolean;
}

/**
 * The place that a follower has come to. A reader verifies whole chunks, which are longer than what is asked for at a
 * time: while one part follows on the other, each chunk is read once.
 */
export class FileCursor {
  #of: { readonly reader: SnapshotReader; readonly name: string; readonly size: number } | undefined;
  #bytes: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #at = 0;
  #rest: Uint8Array = new Uint8Array(0);

  /** So many bytes from `offset` on, or as many as there are. */
  async read(reader: SnapshotReader, name: string, offset: number, length: number): Promise<FilePart> {
    if (this.#of?.reader !== reader || this.#of.name !== name || this.#at !== offset) {
      await this.close();
      const size = await reader.size(name);
      if (offset >= size) return { pieces: [], eof: true };
      this.#of = { reader, name, size };
      this.#bytes = reader.file(name, { start: offset }).getReader();
      this.#at = offset;
    }
    const pieces: Uint8Array[] = [];
    for (let left = Math.min(length, this.#of!.size - offset); left > 0;) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#bytes!.read();
        if (done) break;
        this.#rest = value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      this.#at += piece.length;
      left -= piece.length;
      pieces.push(piece);
    }
    return { pieces, eof: this.#at >= this.#of!.size };
  }

  /** Lets go of the file. */
  async close(): Promise<void> {
    const bytes = this.#bytes;
    [this.#of, this.#bytes, this.#rest] = [undefined, undefined, new Uint8Array(0)];
    await bytes?.cancel().catch(() => {});
  }
}
