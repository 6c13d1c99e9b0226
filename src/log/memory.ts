/**
 * A log in memory.
 *
 * @module
 */

import { checkIndex } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { boundGroup } from "../snapshot/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { baseDigest, checkDigest, LogChain } from "./chain.ts";
import { checkFollows, type LogStorage, ownEntry, purged } from "./log.ts";

/**
 * Keeps entries in memory: for tests, and where another node stores them.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export class MemoryLog implements LogStorage {
  #entries: LogEntry[] = [];
  #firstIndex = 1n;
  #termBefore = 0n;
  #byteLength = 0;
  #group: string | undefined;
  #chain: LogChain | undefined;
  #resets = 0;
  /** One purge after the other: each needs the digest of what it drops. */
  #purging: Promise<void> = Promise.resolve();

  get group(): string | undefined {
    return this.#group;
  }

  bindGroup(group: string): void {
    this.#group = boundGroup(this.#group, group, "The log");
  }

  get firstIndex(): bigint {
    return this.#firstIndex;
  }

  get lastIndex(): bigint {
    return this.#firstIndex + BigInt(this.#entries.length) - 1n;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    const lastTerm = this.#entries.at(-1)?.term ?? this.#termBefore;
    for (const entry of checkFollows(entries, this.lastIndex, lastTerm)) {
      this.#entries.push(ownEntry(entry, "entry"));
      this.#byteLength += entry.data.length;
    }
  }

  async *entries(from: bigint): AsyncGenerator<LogEntry, void, undefined> {
    checkIndex(from, "from");
    for (let index = from;; index++) {
      if (index < this.#firstIndex) throw purged(index, this.#firstIndex);
      if (index > this.lastIndex) return;
      yield this.#entries[Number(index - this.#firstIndex)]!;
    }
  }

  async term(index: bigint): Promise<bigint | undefined> {
    checkIndex(index, "index");
    if (index === this.#firstIndex - 1n) return this.#termBefore;
    return this.#entries[Number(index - this.#firstIndex)]?.term;
  }

  async digest(index: bigint): Promise<Uint8Array | undefined> {
    checkIndex(index, "index");
    const before = this.#firstIndex - 1n;
    if (index < before || index > this.lastIndex) return undefined;
    this.#chain ??= new LogChain(before, baseDigest(before, this.#termBefore));
    return await this.#chain.at(index, (from) => this.entries(from));
  }

  async bindDigest(digest: Uint8Array): Promise<void> {
    const own = checkDigest(digest);
    if (this.#entries.length > 0) throw new SnapshotError("STALE", "The log has entries: their history is known");
    this.#chain = new LogChain(this.#firstIndex - 1n, own);
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    const purging = this.#purging.then(() => this.#purge(index));
    this.#purging = purging.catch(() => {});
    await purging;
  }

  async #purge(index: bigint): Promise<void> {
    const resets = this.#resets; // after one, other entries may have these indices
    const target = index < this.lastIndex ? index : this.lastIndex;
    if (target < this.#firstIndex) return;
    let chain: LogChain | undefined;
    let digest: Uint8Array | undefined;
    do { // until nobody has begun to keep digests meanwhile
      chain = this.#chain;
      try {
        digest = await chain?.at(target, (from) => this.entries(from));
      } catch (error) {
        if (this.#resets === resets) throw error;
      }
      if (this.#resets !== resets) return;
    } while (this.#chain !== chain);
    const dropped = this.#entries.splice(0, Number(target - this.#firstIndex) + 1);
    this.#firstIndex = target + 1n;
    this.#termBefore = dropped.at(-1)!.term;
    for (const { data } of dropped) this.#byteLength -= data.length;
    if (digest !== undefined) chain!.rebase(target, digest);
  }

  async reset(index: bigint, term: bigint): Promise<void> {
    checkIndex(index, "index");
    checkIndex(term, "term");
    this.#entries = [];
    this.#firstIndex = index + 1n;
    this.#termBefore = term;
    this.#resets++;
    this.#chain = undefined;
    this.#byteLength = 0;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
