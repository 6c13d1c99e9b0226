/**
 * The digest of a log's history: of all entries from the first on, each after the one before it.
 *
 * ```text
 * digest(base)  = SHA-256("snapstream log" || u64be index || u64be term)   of what comes before the first entry
 * digest(index) = SHA-256(digest(index - 1) || entry)                      the entry as `entry_bytes.ts` has it
 * ```
 *
 * Two logs that have the same digest at an index have the same entries up to there. Nothing is hashed before somebody
 * asks, by following the log or by backing it up; from then on the log keeps the digest of what it purges.
 *
 * @module
 */

import { copyBytes, unfit } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import { bytesOfText, concat, DIGEST_SIZE, sha256Now, u64 } from "../stream/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { yieldTurn } from "../async/mod.ts";
import { EntryWriter } from "./entry_bytes.ts";

/** A digest is kept in memory for each so many entries. */
const SPACING = 1024n;
/** The most digests that are kept in memory; the oldest go first. */
const MOST_KEPT = 4096;
/** Entries that are hashed before others have their turn. */
const TURN = 256;

/** The digest before the first entry of a log of which no more is known than its position. */
export function baseDigest(index: bigint, term: bigint): Uint8Array {
  return sha256Now(concat([bytesOfText("snapstream log"), u64(index), u64(term)]));
}

/** Reports whether a value is a digest. */
export function isDigest(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === DIGEST_SIZE;
}

/** Checks a digest of a history, and copies it. */
export function checkDigest(value: unknown): Uint8Array {
  const digest = copyBytes(value, "digest");
  if (isDigest(digest)) return digest;
  throw unfit("digest", `a SHA-256 of ${DIGEST_SIZE} bytes`, value);
}

/** The digest of a history with one more entry. */
export function nextDigest(before: Uint8Array, entry: Uint8Array): Uint8Array {
  return sha256Now(before, entry);
}

/** Computes digests of a log, and remembers some. */
export class LogChain {
  #base: bigint;
  /** By index, in the order in which they came to be known. */
  readonly #known = new Map<bigint, Uint8Array>();

  /**
   * @param index the index before the first entry
   * @param digest the digest there
   */
  constructor(index: bigint, digest: Uint8Array) {
    this.#base = index;
    this.#known.set(index, digest);
  }

  /** Begins anew: all entries up to an index are gone. */
  rebase(index: bigint, digest: Uint8Array): void {
    this.#base = index;
    for (const known of this.#known.keys()) if (known <= index) this.#known.delete(known);
    this.#known.set(index, digest);
  }

  /** Notes a digest that somebody has computed. */
  note(index: bigint, digest: Uint8Array): void {
    this.#known.delete(index);
    this.#known.set(index, digest);
    if (this.#known.size <= MOST_KEPT) return;
    for (const known of this.#known.keys()) {
      if (known === this.#base) continue;
      this.#known.delete(known);
      break;
    }
  }

  /**
   * The digest at an index that the log has; nothing if it was purged meanwhile.
   *
   * @param index the index
   * @param entries reads the log from an index on
   */
  async at(index: bigint, entries: (from: bigint) => AsyncIterable<LogEntry>): Promise<Uint8Array | undefined> {
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    let nearest = this.#base;
    for (const known of this.#known.keys()) if (known <= index && known > nearest) nearest = known;
    let digest = this.#known.get(nearest)!;
    let [last, count] = [nearest, 0];
    const writer = new EntryWriter();
    try {
      for await (const entry of entries(nearest + 1n)) {
        digest = nextDigest(digest, writer.alone(entry));
        last = entry.index;
        if (last === index) break;
        if (entry.index % SPACING === 0n) this.note(entry.index, digest);
        if (++count % TURN === 0) await yieldTurn();
      }
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND") || this.#base <= nearest) throw error;
      return index < this.#base ? undefined : await this.at(index, entries); // a purge has passed by meanwhile
    }
    if (last !== index) throw new SnapshotError("UNAVAILABLE", `The log no longer has entry ${index}`, { index });
    this.note(index, digest);
    return digest;
  }
}
