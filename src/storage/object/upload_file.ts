/**
 * A file of a snapshot that is being written to a bucket, or received into one.
 *
 * @module
 */

import type { FileInfo } from "../../snapshot/mod.ts";
import type { MediumFile, WrittenChunk } from "../medium.ts";
import type { Upload } from "./upload.ts";

/** A file whose chunks go into packs. Nothing of it is durable before its snapshot is. */
export class UploadFile implements MediumFile {
  readonly #upload: Upload;
  readonly #sizes: Map<string, number>;
  readonly #name: string;
  readonly #info: FileInfo | undefined;

  /**
   * @param upload takes the chunks
   * @param sizes of what is being written
   * @param name of the file
   * @param info what it will be, if that is known
   */
  constructor(upload: Upload, sizes: Map<string, number>, name: string, info: FileInfo | undefined) {
    this.#upload = upload;
    this.#sizes = sizes;
    this.#name = name;
    this.#info = info;
  }

  /** Reads the chunk that begins at the position; nothing if it has not come. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    const chunks = this.#info?.chunks;
    const chunk = chunks?.at(position) ?? 0;
    if (chunks === undefined || chunk === chunks.count) return 0;
    const bytes = await this.#upload.read(chunks.digest(chunk));
    if (bytes?.length !== buffer.length) return 0;
    buffer.set(bytes);
    return bytes.length;
  }

  async write(bytes: Uint8Array, position: number, chunks: Promise<readonly WrittenChunk[]>): Promise<void> {
    const end = position + bytes.length;
    await this.#upload.write(bytes, chunks);
    this.#sizes.set(this.#name, Math.max(this.#sizes.get(this.#name) ?? 0, end));
  }

  /** A commit waits for all files at once. */
  sync(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#info?.chunks?.size ?? this.#sizes.get(this.#name) ?? 0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
