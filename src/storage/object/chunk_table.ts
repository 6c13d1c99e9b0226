/**
 * A table of the places of chunks, by their digests.
 *
 * @module
 */

import { DIGEST_SIZE, DigestHash, equal } from "../../stream/mod.ts";

/** The place of a chunk. */
export interface ChunkPlace {
  /** The number of the pack, in a list kept beside the table. */
  readonly pack: number;
  /** Its offset in the pack, in bytes. */
  readonly offset: number;
  /** Its length in bytes. */
  readonly length: number;
}

/** A growing table of digests, about 50 bytes each: a snapshot may have millions. */
export class ChunkTable {
  readonly #hash = new DigestHash();
  #digests = new Uint8Array(256 * DIGEST_SIZE);
  /** Pack, offset and length of each. */
  #places = new Uint32Array(256 * 3);
  /** Open addressing; 0 for none, else the position + 1. */
  #slots = new Uint32Array(512);
  #count = 0;

  /** Returns the place of a chunk; nothing if it is not known. */
  find(digest: Uint8Array): ChunkPlace | undefined {
    const at = this.#slots[this.#slot(digest)]! - 1;
    if (at < 0) return undefined;
    const [pack, offset, length] = this.#places.subarray(at * 3, at * 3 + 3);
    return { pack: pack!, offset: offset!, length: length! };
  }

  /** Sets the place of a chunk, replacing an earlier one. */
  set(digest: Uint8Array, { pack, offset, length }: ChunkPlace): void {
    const slot = this.#slot(digest);
    const known = this.#slots[slot]!;
    if (known > 0) return this.#places.set([pack, offset, length], (known - 1) * 3);
    if (this.#count * DIGEST_SIZE === this.#digests.length) {
      this.#grow();
      return this.set(digest, { pack, offset, length });
    }
    this.#digests.set(digest, this.#count * DIGEST_SIZE);
    this.#places.set([pack, offset, length], this.#count * 3);
    this.#slots[slot] = ++this.#count;
  }

  #grow(): void {
    const [digests, places] = [this.#digests, this.#places];
    this.#digests = new Uint8Array(digests.length * 2);
    this.#digests.set(digests);
    this.#places = new Uint32Array(places.length * 2);
    this.#places.set(places);
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let i = 0; i < this.#count; i++) this.#slots[this.#slot(this.#digest(i))] = i + 1;
  }

  #digest(i: number): Uint8Array {
    return this.#digests.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE);
  }

  /** The slot that holds this digest, or the free one for it. */
  #slot(digest: Uint8Array): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hash.of(digest) >>> Math.clz32(mask);
    while (this.#slots[slot] !== 0 && !equal(this.#digest(this.#slots[slot]! - 1), digest)) slot = (slot + 1) & mask;
    return slot;
  }
}
