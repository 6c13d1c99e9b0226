/**
 * The states of a snapshot's chunks while it is being received.
 *
 * @module
 */

import type { ChunkSpan, SnapshotContent } from "../snapshot/mod.ts";
import { ChunkSet, DigestIndex } from "../stream/mod.ts";

/** The bits of a chunk's state. */
const Bit = {
  /** It is here, and verified. */
  HELD: 1,
  /** It has been requested. */
  EXPECTED: 2,
  /** It is the first one with its digest, and one with that digest was missing and was not taken since. */
  WANTED: 4,
} as const;

/** One byte a chunk, by its number in the content, and a look-up of chunks by their digests. */
export class ChunkTable {
  readonly #content: SnapshotContent;
  readonly #state: Uint8Array;
  #index: DigestIndex | undefined;

  /** @param content the chunks; none of them is here yet */
  constructor(content: SnapshotContent) {
    this.#content = content;
    this.#state = new Uint8Array(content.count);
  }

  /** Reports whether a chunk is here. */
  has(chunk: number): boolean {
    return (this.#state[chunk]! & Bit.HELD) !== 0;
  }

  /** Notes that a chunk is here. Returns whether that is new. */
  hold(chunk: number): boolean {
    if (this.has(chunk)) return false;
    this.#state[chunk]! |= Bit.HELD;
    return true;
  }

  /** Notes that a chunk is not here any more. Returns whether it was. */
  lose(chunk: number): boolean {
    if (!this.has(chunk)) return false;
    this.#state[chunk]! &= ~Bit.HELD;
    return true;
  }

  /** Notes whether a chunk has been requested. */
  expect(chunk: number, isExpected: boolean): void {
    if (isExpected) this.#state[chunk]! |= Bit.EXPECTED;
    else this.#state[chunk]! &= ~Bit.EXPECTED;
  }

  /** The chunks that are here. */
  held(): ChunkSet {
    return this.#set(Bit.HELD);
  }

  /** The chunks that are here or have been requested. */
  expected(): ChunkSet {
    return this.#set(Bit.HELD | Bit.EXPECTED);
  }

  #set(bits: number): ChunkSet {
    const set = new ChunkSet(this.#state.length);
    for (let i = 0; i < this.#state.length; i++) if ((this.#state[i]! & bits) !== 0) set.add(i);
    return set;
  }

  /** The missing chunks; of identical ones only the first, as far as {@linkcode same} tells. */
  *missing(): Generator<ChunkSpan, void, undefined> {
    const count = this.#state.length;
    const isListed = (chunk: number) => !this.has(chunk) && !this.#isSpokenFor(chunk);
    for (let first = 0; first < count; first++) {
      if (!isListed(first)) continue;
      let end = first + 1;
      while (end < count && isListed(end)) end++;
      yield { first, end };
      first = end;
    }
  }

  /** The chunks with this digest. */
  same(digest: Uint8Array): Generator<number, void, undefined> {
    return this.#chunks.find(digest);
  }

  /** Reports whether a chunk with this digest is missing. */
  isWanted(digest: Uint8Array): boolean {
    const { done, value } = this.same(digest).next();
    return !done && (this.#state[value]! & Bit.WANTED) !== 0;
  }

  /** Returns the chunks with this digest, if one was missing; only once. */
  *take(digest: Uint8Array): Generator<number, void, undefined> {
    if (!this.isWanted(digest)) return;
    this.#state[this.same(digest).next().value!]! &= ~Bit.WANTED;
    yield* this.same(digest);
  }

  /** Reports whether another chunk stands for this one: it has the same digest, and is missing too. */
  #isSpokenFor(chunk: number): boolean {
    const first = this.same(this.#content.digest(chunk)).next().value!;
    return first !== chunk && !this.has(first);
  }

  /** Made on demand: often nothing is missing of a snapshot that is here. */
  get #chunks(): DigestIndex {
    if (this.#index !== undefined) return this.#index;
    const index = new DigestIndex(this.#content.count, (i) => this.#content.digest(i));
    for (let i = 0; i < this.#state.length; i++) {
      if (!this.has(i)) this.#state[index.find(this.#content.digest(i)).next().value!]! |= Bit.WANTED;
    }
    return this.#index = index;
  }
}
