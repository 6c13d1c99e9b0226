/**
 * A log in tables of an SQL database, whichever that is.
 *
 * @module
 */

import { checkIndex } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import { boundGroup, checkGroup } from "../snapshot/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { baseDigest, checkDigest, isDigest, LogChain } from "./chain.ts";
import { checkFollows, type LogStorage, purged } from "./log.ts";
import { damaged, entryOf, type EntryRow, groupOfRow, numberOf } from "./sql_rows.ts";

/** Entries are read together up to so many bytes of their data, about; one at least. */
const READ_BYTES = 4 * 1024 * 1024;

/** An index and a term as the database gives them: of any type, if it was damaged. */
export interface SqlPosition {
  /** The index. */
  readonly idx?: unknown;
  /** The term. */
  readonly term?: unknown;
}

/** A digest as the database gives it. */
export interface SqlDigest {
  /** The index. */
  readonly idx?: unknown;
  /** The digest. */
  readonly digest?: unknown;
}

/** The bounds of a log when it is opened. */
export interface SqlBounds {
  /** The position before the first entry. */
  readonly base: SqlPosition;
  /** The index of the first entry. */
  readonly first: unknown;
  /** The last entry; absent if there is none. */
  readonly last: SqlPosition | undefined;
}

/** The kind of write: with `"drop"` the beginning of a purge. */
export type SqlWrite = "append to" | "drop" | "purge" | "reset" | "name the group of";

/** Entries to be dropped together. */
export interface SqlBatch {
  /** The last of them. */
  readonly upTo: bigint;
  /** The number of bytes of their data. */
  readonly bytes: number;
}

/**
 * The tables of an {@linkcode SqlLog}: an adapter to one database. Every method that writes is one transaction, which
 * has happened when it returns, or has not if it throws; {@linkcode written} waits for what is to follow.
 */
export interface SqlTables<R extends EntryRow = EntryRow> {
  /** The name of the log, for messages. */
  readonly name: string;
  /** The number of bytes of all entries' data. */
  readonly byteLength: number;
  /** Reads where the log begins and ends. */
  bounds(): SqlBounds;
  /** Reads the row with the name of the group, if there is one. */
  group(): Readonly<Record<string, unknown>> | undefined;
  /** Writes the name of the group, which there is none of. */
  setGroup(name: string): void;
  /** Reads the digest that was kept of what comes before the first entry, and that index; absent if none was. */
  digest(): SqlDigest | undefined;
  /** Keeps that digest. */
  setDigest(index: bigint, digest: Uint8Array): void;
  /** Reads a few rows from an index on, in order. */
  rows(from: bigint): readonly R[];
  /** Reads what a row leaves out of an entry. */
  whole(entry: LogEntry, row: R): LogEntry;
  /** Reads the term of an entry. */
  term(index: bigint): unknown;
  /** Writes entries that follow the last one. */
  insert(entries: readonly LogEntry[]): void;
  /**
   * Chooses the first entries, so few that others do not wait for long while they are dropped.
   *
   * @param first the first that there is
   * @param target the last that may be dropped
   * @param last the last that there is
   */
  batch(first: bigint, target: bigint, last: bigint): SqlBatch;
  /** Drops the first entries; `term` is the term of the last of them, `digest` that of all up to it, if it is kept. */
  drop(batch: SqlBatch, term: bigint, digest: Uint8Array | undefined): void;
  /** Drops all entries; `index` and `term` come before the next one. */
  clear(index: bigint, term: bigint): void;
  /**
   * Waits until what was written is durable; others get their turn.
   *
   * @param how what was written
   */
  written(how: SqlWrite): Promise<void> | void;
  /** Fails if nothing may be read or written any more. */
  check(): void;
  /** Closes the database. */
  close(): void;
}

/** Keeps entries in the tables of a database: the part that {@linkcode SqlTables} leaves. */
export abstract class SqlLog implements LogStorage {
  readonly #tables: SqlTables;
  #firstIndex: bigint;
  #lastIndex: bigint;
  #lastTerm: bigint;
  #termBefore: bigint;
  #group: string | undefined;
  #resets = 0;
  #closed = false;
  /** The digests of the history, as far as somebody asked for one. */
  #chain: LogChain | undefined;
  /** One purge after the other: each needs the digest of what it drops. */
  #purging: Promise<void> = Promise.resolve();

  /**
   * Reads the bounds and the group.
   *
   * @param tables the tables, which are there
   * @throws {SnapshotError} `CORRUPT` if they are not those of a log, or its first entry is missing
   */
  protected constructor(tables: SqlTables) {
    this.#tables = tables;
    const { name } = tables;
    const { base, first, last } = tables.bounds();
    const before = numberOf(base.idx, "the index before its first entry", name);
    this.#firstIndex = before + 1n;
    this.#termBefore = numberOf(base.term, "the term before its first entry", name);
    this.#lastIndex = last === undefined ? before : numberOf(last.idx, "its last index", name);
    this.#lastTerm = last === undefined
      ? this.#termBefore
      : numberOf(last.term, "its last term", name, this.#termBefore);
    if (last !== undefined && first !== this.#firstIndex) {
      throw damaged(name, `entry ${this.#firstIndex} is missing`, this.#firstIndex);
    }
    this.#group = groupOfRow(tables.group(), name);
    const { idx, digest } = tables.digest() ?? {};
    // A program that knows of no digests may have purged since: what was kept then is of no use.
    if (idx === before && isDigest(digest)) this.#chain = new LogChain(before, digest);
  }

  /** The group whose entries these are, if the tables say it. */
  get group(): string | undefined {
    return this.#group;
  }

  async bindGroup(group: string): Promise<void> {
    checkGroup(group, "group");
    this.#check();
    const { name } = this.#tables;
    const found = groupOfRow(this.#tables.group(), name); // read again: another log of the same tables may have set it
    const bound = boundGroup(found, group, `The log ${name}`);
    if (found === undefined) this.#tables.setGroup(bound);
    this.#group = bound;
    await this.#tables.written("name the group of");
  }

  get firstIndex(): bigint {
    return this.#firstIndex;
  }

  get lastIndex(): bigint {
    return this.#lastIndex;
  }

  get byteLength(): number {
    return this.#tables.byteLength;
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    this.#check();
    const own = checkFollows(entries, this.#lastIndex, this.#lastTerm);
    const last = own.at(-1);
    if (last === undefined) return;
    this.#tables.insert(own);
    this.#lastIndex = last.index;
    this.#lastTerm = last.term;
    await this.#tables.written("append to");
  }

  async *entries(from: bigint): AsyncGenerator<LogEntry, void, undefined> {
    checkIndex(from, "from");
    for (let [next, term] = [from, 0n];;) {
      const batch = this.#read(next, term);
      if (batch.length === 0) return;
      const resets = this.#resets;
      for (const entry of batch) {
        if (this.#resets !== resets || next < this.#firstIndex) { // changed meanwhile: it may be outdated
          term = 0n;
          break;
        }
        next++;
        ({ term } = entry);
        yield entry;
      }
    }
  }

  async *batches(from: bigint): AsyncGenerator<readonly LogEntry[], void, undefined> {
    checkIndex(from, "from");
    for (let [next, term] = [from, 0n];;) {
      const batch = this.#read(next, term);
      if (batch.length === 0) return;
      const resets = this.#resets;
      yield batch;
      next += BigInt(batch.length);
      term = this.#resets === resets ? batch.at(-1)!.term : 0n;
    }
  }

  /**
   * Reads a few entries from an index on; none if there are none.
   *
   * @param from the index
   * @param leastTerm the term of the entry before, if it was read
   * @throws {SnapshotError} `CORRUPT` if the first of them is damaged: what comes before a damaged one is given first
   */
  #read(from: bigint, leastTerm: bigint): readonly LogEntry[] {
    this.#check();
    if (from < this.#firstIndex) throw purged(from, this.#firstIndex);
    const tables = this.#tables;
    const rows = tables.rows(from);
    if (rows.length === 0 && from > this.#lastIndex) return [];
    const entries: LogEntry[] = [];
    let [index, bytes] = [from, 0];
    let term = from === this.#firstIndex ? this.#termBefore : leastTerm;
    for (const row of rows.length === 0 ? [undefined] : rows) {
      let entry: LogEntry;
      try {
        entry = tables.whole(entryOf(row, index, term, tables.name), row!);
      } catch (error) {
        if (entries.length === 0) throw error;
        break; // it is read again as the first, and fails then
      }
      entries.push(entry);
      ({ term } = entry);
      bytes += entry.data.length;
      if (bytes >= READ_BYTES) break; // a row need not have all of its entry's data
      index++;
    }
    return entries;
  }

  async term(index: bigint): Promise<bigint | undefined> {
    checkIndex(index, "index");
    this.#check();
    if (index === this.#firstIndex - 1n) return this.#termBefore;
    if (index < this.#firstIndex || index > this.#lastIndex) return undefined;
    return this.#termOf(index);
  }

  async digest(index: bigint): Promise<Uint8Array | undefined> {
    checkIndex(index, "index");
    this.#check();
    if (index < this.#firstIndex - 1n || index > this.#lastIndex) return undefined;
    return await this.#kept().at(index, (from) => this.entries(from));
  }

  async bindDigest(digest: Uint8Array): Promise<void> {
    const own = checkDigest(digest);
    this.#check();
    if (this.#lastIndex >= this.#firstIndex) {
      throw new SnapshotError("STALE", `The log ${this.#tables.name} has entries: their history is known`, {
        index: this.#lastIndex,
      });
    }
    const before = this.#firstIndex - 1n;
    this.#tables.setDigest(before, own);
    this.#chain = new LogChain(before, own);
    await this.#tables.written("append to");
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    const purging = this.#purging.then(() => this.#purge(index));
    this.#purging = purging.catch(() => {});
    await purging;
  }

  async #purge(index: bigint): Promise<void> {
    const target = index < this.#lastIndex ? index : this.#lastIndex;
    const resets = this.#resets; // after one, other entries may have these indices
    while (this.#firstIndex <= target && this.#resets === resets) {
      this.#check();
      const batch = this.#tables.batch(this.#firstIndex, target, this.#lastIndex);
      const { upTo } = batch;
      const term = this.#termOf(upTo);
      const chain = this.#chain;
      const digest = await this.#digestBeforePurge(upTo, () => this.#resets !== resets);
      if (this.#resets !== resets) return;
      if (this.#chain !== chain) continue; // somebody has begun to keep digests meanwhile
      this.#check();
      this.#tables.drop(batch, term, digest);
      this.#firstIndex = upTo + 1n;
      this.#termBefore = term;
      if (digest === undefined) this.#chain = undefined;
      else this.#chain!.rebase(upTo, digest);
      await this.#tables.written(upTo < target ? "drop" : "purge");
    }
  }

  async reset(index: bigint, term: bigint): Promise<void> {
    checkIndex(index, "index");
    checkIndex(term, "term");
    this.#check();
    this.#tables.clear(index, term);
    this.#chain = undefined;
    this.#resets++;
    this.#firstIndex = index + 1n;
    this.#lastIndex = index;
    this.#lastTerm = this.#termBefore = term;
    await this.#tables.written("reset");
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#tables.close();
    }
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", "The log was closed");
    this.#tables.check();
  }

  /** The digests of the history, which are kept from now on. */
  #kept(): LogChain {
    if (this.#chain !== undefined) return this.#chain;
    const before = this.#firstIndex - 1n;
    const digest = baseDigest(before, this.#termBefore);
    this.#tables.setDigest(before, digest);
    return this.#chain = new LogChain(before, digest);
  }

  /** The digest up to an entry that is to be purged; nothing if none are kept, or an entry before it is damaged. */
  async #digestBeforePurge(index: bigint, wasReset: () => boolean): Promise<Uint8Array | undefined> {
    try {
      return await this.#chain?.at(index, (from) => this.entries(from));
    } catch (error) {
      // What a snapshot has need not be readable here.
      if (hasCode(error, "CORRUPT") || wasReset()) return undefined;
      throw error;
    }
  }

  #termOf(index: bigint): bigint {
    return numberOf(this.#tables.term(index), `the term of entry ${index}`, this.#tables.name, this.#termBefore);
  }
}
