/**
 * Finding a digest among millions, in 8 to 12 bytes each.
 *
 * @module
 */

import { equal } from "./bytes.ts";
import { DIGEST_SIZE } from "./digest.ts";

const WORDS = DIGEST_SIZE / 4;

/**
 * Where each digest of a list stands in it: an open-addressing table, with equal digests (a file full of zeros has
 * nothing else) in chains. Hashed with random factors, so that nobody can choose digests that make it slow.
 */
export class DigestIndex {
  readonly #digest: (i: number) => Uint8Array;
  readonly #table: Uint32Array;
  readonly #next: Uint32Array;
  readonly #mask: number;
  readonly #factors: Uint32Array = crypto.getRandomValues(new Uint32Array(WORDS));

  /**
   * @param count how many digests there are
   * @param digest gives the `i`-th
   */
  constructor(count: number, digest: (i: number) => Uint8Array) {
    this.#digest = digest;
    const slots = 2 ** Math.ceil(Math.log2(Math.max(count, 1) * 2));
    this.#mask = slots - 1;
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
    const view = new DataView(digest.buffer, digest.byteOffset, DIGEST_SIZE);
    let hash = 0;
    for (let word = 0; word < WORDS; word++) {
      hash = (hash + Math.imul(view.getUint32(word * 4), this.#factors[word]! | 1)) | 0;
    }
    let slot = (hash ^ (hash >>> 15)) & this.#mask;
    while (this.#table[slot] !== 0 && !equal(this.#digest(this.#table[slot]! - 1), digest)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
