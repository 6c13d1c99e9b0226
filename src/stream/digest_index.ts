/**
 * Finding a digest among millions, in 8 to 12 bytes each.
 *
 * @module
 */

import { equal } from "./bytes.ts";
import { DIGEST_SIZE } from "./digest.ts";

/**
 * Hashes digests by a universal family (multiply-shift over the bytes: Dietzfelbinger, 1996), so that nobody can choose
 * digests that make a table slow.
 */
export class DigestHash {
  readonly #factors: Uint32Array = crypto.getRandomValues(new Uint32Array(DIGEST_SIZE));

  /** A hash of 32 bits. Use the high ones: a low bit does not depend on the higher bits of the bytes. */
  of(digest: Uint8Array): number {
    let hash = 0;
    for (let i = 0; i < DIGEST_SIZE; i++) hash = (hash + Math.imul(digest[i]!, this.#factors[i]!)) | 0;
    return hash >>> 0;
  }
}

/**
 * The positions of each digest in a list: an open-addressing table, with equal digests in chains (all chunks of a file
 * of zeros have one digest).
 */
export class DigestIndex {
  readonly #digest: (i: number) => Uint8Array;
  readonly #table: Uint32Array;
  readonly #next: Uint32Array;
  readonly #mask: number;
  readonly #shift: number;
  readonly #hash = new DigestHash();

  /**
   * @param count how many digests there are
   * @param digest gives the `i`-th
   */
  constructor(count: number, digest: (i: number) => Uint8Array) {
    this.#digest = digest;
    const bits = Math.ceil(Math.log2(Math.max(count, 1) * 2));
    const slots = 2 ** bits;
    this.#mask = slots - 1;
    this.#shift = 32 - bits;
    this.#table = new Uint32Array(slots); // 0 for none, else the position + 1
    this.#next = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const slot = this.#slot(digest(i));
      this.#next[i] = this.#table[slot]!;
      this.#table[slot] = i + 1;
    }
  }

  /** The positions of a digest. */
  *find(digest: Uint8Array): Generator<number, void, undefined> {
    for (let at = this.#table[this.#slot(digest)]!; at !== 0; at = this.#next[at - 1]!) yield at - 1;
  }

  /** The slot that holds this digest, or the free one for it. */
  #slot(digest: Uint8Array): number {
    let slot = this.#hash.of(digest) >>> this.#shift;
    while (this.#table[slot] !== 0 && !equal(this.#digest(this.#table[slot]! - 1), digest)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
