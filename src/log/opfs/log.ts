/**
 * A durable log in a browser: in segments in OPFS.
 *
 * @module
 */

import { checkIndex, checkOptions, checkSignal } from "../../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import { openOpfs, type OpfsDirectory } from "../../opfs/mod.ts";
import { boundGroup, checkGroup } from "../../snapshot/mod.ts";
import type { LogEntry } from "../../state/mod.ts";
import { equal } from "../../stream/mod.ts";
import { baseDigest, checkDigest } from "../chain.ts";
import { checkFollows, type LogStorage, purged } from "../log.ts";
import { encodeEnd, historyAt } from "../records.ts";
import { type GrowingFile, SegmentFiles } from "./files.ts";
import { create, recover, type Recovered, type Segment } from "./recovery.ts";
import { damaged, headerBehind, type Position, readSegment, recordsOf, SegmentReader } from "./segment.ts";

/** The bytes from which on a segment grows no more: as much stays at the most of what was purged, and one record. */
const SEGMENT_BYTES = 1024 * 1024;

/** Options of {@linkcode OpfsLog.open}. */
export interface OpfsLogOptions {
  /**
   * The group whose entries these are: kept in the log, which cannot be opened as another's from then on. By default
   * what is in the log, if anything is.
   */
  readonly group?: string;
  /** Waits while another tab or worker has the log open, until this signal fires; without one that is `BUSY`. */
  readonly wait?: AbortSignal;
}

/**
 * Keeps entries in a directory of OPFS, from a dedicated worker: a browser lets nobody else sync what was written. One
 * worker of the origin at a time has a log open.
 *
 * What {@linkcode append} has resolved for was synced: killing the worker, the tab or the browser at any moment loses
 * none of it. The browser chooses when to sync the names of files, so that a power failure may take the newest
 * segments, whole. A browser that is short of space may remove all data of an origin, unless the page was granted
 * `navigator.storage.persist()`.
 *
 * Every entry is proven by the digest of the history (`log/chain.ts`) whenever it is read. An entry of more than 64 MiB
 * is refused (`MALFORMED`).
 *
 * @example A replica in a worker, which follows a server, also after the page was offline
 * ```ts
 * import { type KeyValueMachine, Replica } from "@snapstream/snapstream";
 * import { OpfsLog, OpfsStorage } from "@snapstream/snapstream/opfs";
 *
 * async function mirror(url: string, machine: KeyValueMachine<number>): Promise<Replica<KeyValueMachine<number>>> {
 *   const storage = await OpfsStorage.open("stock/snapshots");
 *   const log = await OpfsLog.open("stock/log");
 *   const replica = await Replica.open({ machine, storage, log }); // all that was here, without the network
 *   replica.follow([url]); // and what comes, now or later
 *   return replica;
 * }
 * console.assert(mirror.length === 2);
 * ```
 */
export class OpfsLog implements LogStorage {
  readonly #files: SegmentFiles;
  readonly #unlock: () => Promise<void>;
  /** The oldest first. */
  #segments: Segment[];
  /** The file of the last one. */
  #tail: GrowingFile;
  /** The entry before the first. */
  #base: Position;
  #last: Position;
  #group: string | undefined;
  #resets = 0;
  /** The failure after which it is not known what is in the files. */
  #failure: SnapshotError | undefined;
  #closed: Promise<void> | undefined;
  /** One change after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(files: SegmentFiles, unlock: () => Promise<void>, found: Recovered) {
    this.#files = files;
    this.#unlock = unlock;
    this.#segments = found.segments;
    this.#tail = found.tail;
    this.#base = found.base;
    this.#last = found.last;
    this.#group = found.group;
    this.#end();
  }

  /**
   * Opens a log; makes it if there is none. All of it is read once.
   *
   * @param directory a directory of OPFS for the log alone, or its path from the root of that (`"log"`, `"app/log"`)
   * @param options see {@linkcode OpfsLogOptions}
   * @throws {SnapshotError} `BUSY` if another tab or worker has it open, `CANCELLED` if that was waited for, `CORRUPT`
   *   if it has lost entries, `FORBIDDEN` if it has entries of another group, or the browser says so, `UNSUPPORTED`
   *   outside of a dedicated worker, `NO_SPACE`, `MALFORMED` if it is no directory of OPFS
   */
  static async open(directory: OpfsDirectory | string = "log", options: OpfsLogOptions = {}): Promise<OpfsLog> {
    const { group, wait } = checkOptions(options, { group: checkGroup, wait: checkSignal });
    const { root, path, unlock } = await openOpfs(directory, { wait });
    let log: OpfsLog;
    try {
      const files = new SegmentFiles(root, path);
      const start = { index: 0n, term: 0n, digest: baseDigest(0n, 0n) };
      const found = await recover(files) ?? await create(files, 0, start);
      log = new OpfsLog(files, unlock!, found);
    } catch (error) {
      await unlock!();
      throw error;
    }
    try {
      if (group !== undefined) await log.bindGroup(group);
      return log;
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  get firstIndex(): bigint {
    return this.#base.index + 1n;
  }

  get lastIndex(): bigint {
    return this.#last.index;
  }

  get byteLength(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The group whose entries these are, if the log says it. */
  get group(): string | undefined {
    return this.#group;
  }

  async bindGroup(group: string): Promise<void> {
    await this.#inTurn(() => {
      const bound = boundGroup(this.#group, group, `The log in ${this.#tail.path}`);
      if (this.#group !== bound) this.#say(this.#base, bound);
    });
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    await this.#inTurn(async () => {
      const own = checkFollows(entries, this.#last.index, this.#last.term);
      if (own.length === 0) return;
      if (this.#tail.size >= SEGMENT_BYTES) await this.#roll();
      let last = this.#last;
      this.#add(() => {
        for (const added of recordsOf(own, last)) {
          this.#tail.add(added.bytes);
          ({ last } = added);
        }
      });
      this.#last = last;
      this.#end();
      for (const { data } of own) this.#segments.at(-1)!.bytes += data.length;
    });
  }

  async *entries(from: bigint): AsyncGenerator<LogEntry, void, undefined> {
    checkIndex(from, "from");
    for (let next = from;;) {
      this.#check();
      if (next < this.firstIndex) throw purged(next, this.firstIndex);
      if (next > this.#last.index) return;
      const [resets, first] = [this.#resets, next];
      const isThere = () => this.#resets === resets && next >= this.firstIndex;
      try {
        const reader = await this.#read(this.#segmentOf(next));
        for (const record of reader) {
          for (const entry of record.kind === "batch" ? record.batch.entries : []) {
            if (entry.index < next || !isThere()) continue; // dropped meanwhile: said above
            next++;
            yield entry;
          }
        }
        if (next === first && isThere()) throw damaged(this.#tail.path, "it is missing", next);
      } catch (error) {
        if (isThere()) throw error; // else its segment was removed
      }
    }
  }

  async term(index: bigint): Promise<bigint | undefined> {
    checkIndex(index, "index");
    return (await this.#positionOf(index))?.term;
  }

  async digest(index: bigint): Promise<Uint8Array | undefined> {
    checkIndex(index, "index");
    return (await this.#positionOf(index))?.digest;
  }

  async bindDigest(digest: Uint8Array): Promise<void> {
    const own = checkDigest(digest);
    await this.#inTurn(async () => {
      if (this.#last.index > this.#base.index) {
        throw new SnapshotError("STALE", `The log in ${this.#tail.path} has entries: their history is known`, {
          index: this.#last.index,
        });
      }
      if (!equal(own, this.#base.digest)) await this.#begin({ ...this.#base, digest: own });
    });
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    await this.#inTurn(async () => {
      const target = index < this.#last.index ? index : this.#last.index;
      if (target <= this.#base.index) return;
      const base = (await this.#positionOf(target))!;
      const at = this.#segmentOf(target);
      const segment = this.#segments[at]!;
      const { bytes } = readSegment(await this.#read(at), target);
      try {
        this.#say(base, this.#group);
      } catch (error) {
        if (!hasCode(error, "NO_SPACE") || at === 0 || this.#failure !== undefined) throw error;
        // The segments before it make room: without them the log begins with the first that is left.
        this.#base = segment.start;
        await this.#sweep();
        this.#say(base, this.#group);
      }
      segment.bytes = bytes;
      await this.#sweep();
    });
  }

  async reset(index: bigint, term: bigint): Promise<void> {
    checkIndex(index, "index");
    checkIndex(term, "term");
    await this.#inTurn(() => this.#begin({ index, term, digest: baseDigest(index, term) }));
  }

  close(): Promise<void> {
    return this.#closed ??= this.#turn.then(async () => {
      this.#tail.close();
      await this.#unlock();
    });
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#closed !== undefined) throw new SnapshotError("CLOSED", "The log was closed");
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Runs `work` once all changes before it have ended. */
  #inTurn(work: () => Promise<void> | void): Promise<void> {
    const done = this.#turn.then(() => {
      this.#check();
      return work();
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Returns the number of the segment that has an entry. */
  #segmentOf(index: bigint): number {
    return this.#segments.findLastIndex(({ start }) => start.index < index);
  }

  async #read(at: number): Promise<SegmentReader> {
    const { name } = this.#segments[at]!;
    const bytes = at === this.#segments.length - 1 ? this.#tail.read() : await this.#files.read(name);
    return new SegmentReader(bytes, this.#files.pathOf(name));
  }

  /** An entry's term, and the history up to it; nothing if the log does not have it, nor begins behind it. */
  async #positionOf(index: bigint): Promise<Position | undefined> {
    this.#check();
    if (index < this.#base.index || index > this.#last.index) return undefined;
    const known = [this.#base, this.#last, ...this.#segments.map(({ start }) => start)];
    const found = known.find((position) => position.index === index);
    if (found !== undefined) return found;
    const resets = this.#resets;
    try {
      for (const record of await this.#read(this.#segmentOf(index))) {
        if (record.kind === "header") continue;
        const entry = record.batch.entries.find((entry) => entry.index === index);
        if (entry !== undefined) return { index, term: entry.term, digest: historyAt(record.batch, index) };
      }
    } catch (error) {
      if (this.#resets === resets && index >= this.#base.index) throw error;
      return undefined; // its segment was removed
    }
    throw damaged(this.#tail.path, "it is missing", index);
  }

  /** Adds records to the last segment: all of them, or none. */
  #add(work: () => void): void {
    const { size } = this.#tail;
    try {
      work();
    } catch (error) {
      try {
        this.#tail.cut(size);
        this.#end();
      } catch (cause) {
        this.#fail(cause);
      }
      throw error;
    }
  }

  /** Says durably where the log begins, and whose it is. */
  #say(base: Position, group: string | undefined): void {
    this.#add(() => this.#tail.add(headerBehind(base, group)));
    this.#base = base;
    this.#group = group;
    this.#end();
  }

  #end(): void {
    const { index, digest } = this.#last;
    this.#tail.end(encodeEnd({ last: index, digest }));
  }

  /** Begins the next segment. */
  async #roll(): Promise<void> {
    const { name: { reset } } = this.#segments.at(-1)!;
    const { segments: [segment], tail } = await this.#create(reset, this.#last);
    this.#tail.close();
    this.#tail = tail;
    this.#segments.push(segment!);
  }

  /** Begins anew, behind an entry. */
  async #begin(base: Position): Promise<void> {
    const before = this.#segments;
    const { segments, tail } = await this.#create(before[0]!.name.reset + 1, base);
    this.#tail.close();
    this.#tail = tail;
    this.#segments = segments;
    this.#base = this.#last = base;
    this.#resets++;
    this.#end();
    for (const { name } of before) await this.#files.remove(name);
  }

  async #create(reset: number, start: Position): Promise<Recovered> {
    try {
      return await create(this.#files, reset, start, this.#group);
    } catch (error) {
      // Were it left, it would be taken for the newest, and what is appended now would not be found.
      await this.#files.remove({ reset, first: start.index + 1n }).catch((cause) => this.#fail(cause));
      throw error;
    }
  }

  /** Removes the segments of which all was purged. */
  async #sweep(): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[1]!.start.index <= this.#base.index) {
      await this.#files.remove(this.#segments[0]!.name);
      this.#segments.shift();
    }
  }

  #fail(cause: unknown): void {
    this.#failure = new SnapshotError(
      "UNAVAILABLE",
      `It is not known what ${this.#tail.path} has: ${messageOf(cause)}. Close the log, and open it again`,
      { file: this.#tail.path, cause },
    );
  }
}
