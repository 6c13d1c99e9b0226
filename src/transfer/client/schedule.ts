/**
 * Sharing out the missing chunks of a snapshot among the requests that fetch them.
 *
 * @module
 */

import type { ChunkSpan, SnapshotContent, SnapshotInstall } from "../../snapshot/mod.ts";
import type { ChunkSet } from "../../stream/mod.ts";

/** The facts about a source for choosing what to request from it. */
export interface Holder {
  /** The chunks that it has, if not all of them. */
  readonly held: ChunkSet | undefined;
  /** Reports whether it has a chunk, or will have it soon: others need not request it from the same place. */
  willHave(chunk: number): boolean;
  /** Bytes a second that a request to it gets; 0 if that is not known yet. */
  readonly rate: number;
  /** True if it is, as far as one knows, receiving the snapshot itself. */
  readonly isReceiving: boolean;
}

/** The smallest size of a request, and that of the first. */
const LEAST_BYTES = 1024 * 1024;
/** The largest size of a request: little has to be repeated when it fails. */
const MOST_BYTES = 8 * 1024 * 1024;
/** The size of a request in a swarm: small, so that the others soon have something to give. */
const SWARM_BYTES = 2 * 1024 * 1024;
/** The aimed duration of a request, in seconds: its size is what the source sends in that time. */
const AIMED_SECONDS = 0.5;
/** The time without a byte after which a request stalls, so that another source may attempt it, in milliseconds. */
const STALL = 1000;
/** The same time for a source that has all, in a swarm: it is to be spared, and so attempts stalled requests later. */
const PATIENCE = 3000;
/** The factor by which a request must be slower than another source would be, for that one to attempt it. */
const SLOWER = 2;
/** The least time without a byte after which a quick source repeats another's request, in milliseconds. */
const SOONEST = 150;
/** The presumed rate of a source that has given nothing yet, for attempting a slow request: bytes a second. */
const PRESUMED_RATE = 128 * 1024;
/** A slower request holds next to nothing in memory, and keeps no other from starting: bytes a second. */
const DRIP_RATE = 16 * 1024;

const State = { HERE: 0, WANTED: 1, ASSIGNED: 2 } as const;

/** A request that is running. */
export class Running implements ChunkSpan {
  readonly first: number;
  readonly end: number;
  /** The source that it goes to. */
  readonly holder: Holder;
  /** Chunks of it that are not here. */
  left: number;
  /** When it last made progress. */
  movedAt: number = performance.now();
  /** True while it waits for its bytes to be processed here, and not for its source: a slow disk is no stall. */
  isTaking = false;
  /** Bytes that came. */
  received = 0;
  /** True if it is repeated elsewhere. */
  raced = false;
  /** The request that this one repeats. */
  slower: Running | undefined;
  /** Ends it when others were quicker with all of it. */
  readonly needless: AbortController = new AbortController();
  readonly #startedAt: number = performance.now();

  constructor(span: ChunkSpan, holder: Holder, left: number) {
    this.first = span.first;
    this.end = span.end;
    this.holder = holder;
    this.left = left;
  }

  /** Notes that bytes came. */
  moved(bytes: number): void {
    this.received += bytes;
    this.movedAt = performance.now();
  }

  /** Processes its bytes; its source is not blamed for the time that this takes. */
  async taking(work: () => Promise<void>): Promise<void> {
    this.isTaking = true;
    await work();
    this.isTaking = false;
    this.movedAt = performance.now();
  }

  /** Bytes a second so far. */
  get rate(): number {
    return this.received / Math.max((performance.now() - this.#startedAt) / 1000, 0.001);
  }

  /** The time for which it has given nothing, in milliseconds. */
  get idle(): number {
    return this.isTaking ? 0 : performance.now() - this.movedAt;
  }

  /** True if it neither stalls nor drips. */
  get flows(): boolean {
    return !this.stalls(STALL);
  }

  /** Reports whether it has given nothing for so many milliseconds, or next to nothing since it began, as long ago. */
  stalls(time: number): boolean {
    if (this.isTaking) return false;
    return this.idle > time || performance.now() - this.#startedAt >= time && this.rate < DRIP_RATE;
  }
}

/**
 * The chunks to be fetched, each by one request at a time, unless that request is slow and nothing else is left to do.
 */
export class Schedule {
  /** The most requests at the same time. */
  readonly most: number;
  readonly #install: SnapshotInstall;
  readonly #content: SnapshotContent;
  readonly #state: Uint8Array;
  readonly #running = new Set<Running>();
  /** No chunk below this one is wanted. */
  #low = 0;
  #wanted = 0;
  #left = 0;
  #wake: () => void = () => {};
  #changed: Promise<void> | undefined;
  #drain: () => void = () => {};
  /** Resolves when all is here. */
  readonly drained: Promise<void> = new Promise((resolve) => this.#drain = resolve);

  /**
   * @param install the install whose missing chunks are to be fetched
   * @param most the most requests at the same time
   */
  constructor(install: SnapshotInstall, most: number = Infinity) {
    const { content } = install.manifest;
    this.#install = install;
    this.most = most;
    this.#content = content;
    this.#state = new Uint8Array(content.count);
    for (const { first, end } of install.missing()) {
      this.#state.fill(State.WANTED, first, end);
      this.#wanted += end - first;
    }
    this.#left = this.#wanted;
    if (this.#left === 0) this.#drain();
  }

  /** True when all is here. */
  get isDone(): boolean {
    return this.#left === 0;
  }

  /** Reports whether a source has a chunk that is missing. */
  wants(holder: Holder): boolean {
    if (this.#left === 0) return false;
    const wants = ({ first, end }: ChunkSpan) => {
      for (let i = first; i < end; i++) if (this.#state[i] !== State.HERE && has(holder, i)) return true;
      return false;
    };
    // Chunks that are being fetched may lie anywhere, and may have to be fetched again.
    return wants({ first: this.#low, end: this.#content.count }) || [...this.#running].some(wants);
  }

  /**
   * Takes the next request for a source.
   *
   * @param holder the source
   * @param others all sources
   * @param workers how many ask, in all
   * @returns nothing if there is nothing now: see {@linkcode changed}
   */
  take(holder: Holder, others: readonly Holder[], workers: number): Running | undefined {
    if (this.#flowing >= this.most) return undefined;
    const partial = others.filter((other) => other !== holder && other.isReceiving);
    const span = this.#wanted > 0 ? this.#choose(holder, partial, workers) : undefined;
    if (span === undefined) {
      return this.#race(holder, partial.length > 0 && holder.held === undefined ? PATIENCE : STALL);
    }
    this.#state.fill(State.ASSIGNED, span.first, span.end);
    this.#wanted -= span.end - span.first;
    this.#expect(span, true);
    return this.#run(span, holder);
  }

  /** Resolves when there may be something to take. */
  changed(): Promise<void> {
    return this.#changed ??= new Promise((resolve) => this.#wake = resolve);
  }

  /** Lets those who wait look again. */
  wake(): void {
    this.#wake();
    this.#changed = undefined;
  }

  /** Reports whether a chunk still has to come. */
  isMissing(chunk: number): boolean {
    return this.#state[chunk] !== State.HERE;
  }

  /** Notes that a chunk is here. */
  arrived(chunk: number): void {
    if (this.#state[chunk] === State.HERE) return;
    if (this.#state[chunk] === State.WANTED) this.#wanted--;
    this.#state[chunk] = State.HERE;
    for (const running of this.#running) {
      if (chunk >= running.first && chunk < running.end && --running.left === 0) running.needless.abort();
    }
    if (--this.#left > 0) return;
    this.#drain();
    this.wake();
  }

  /** Notes that a request has ended; its missing chunks are to be fetched again, unless another request is for them. */
  ended(running: Running): void {
    this.#running.delete(running);
    if (running.slower !== undefined) running.slower.raced = false; // if it was not quicker, another may be
    for (let i = running.first; i < running.end; i++) {
      if (this.#state[i] !== State.ASSIGNED) continue;
      if ([...this.#running].some(({ first, end }) => i >= first && i < end)) continue;
      this.#state[i] = State.WANTED;
      this.#expect({ first: i, end: i + 1 }, false);
      this.#wanted++;
      this.#low = Math.min(this.#low, i);
    }
    this.wake();
  }

  /** The number of running requests, without those that stall or drip. */
  get #flowing(): number {
    let count = 0;
    for (const { flows } of this.#running) if (flows) count++;
    return count;
  }

  #expect({ first, end }: ChunkSpan, isExpected: boolean): void {
    for (let i = first; i < end; i++) this.#install.expect(i, isExpected);
  }

  #run(span: ChunkSpan, holder: Holder): Running {
    let left = 0;
    for (let i = span.first; i < span.end; i++) if (this.#state[i] !== State.HERE) left++;
    const running = new Running(span, holder, left);
    this.#running.add(running);
    return running;
  }

  #choose(holder: Holder, partial: readonly Holder[], workers: number): ChunkSpan | undefined {
    const { count } = this.#content;
    while (this.#low < count && this.#state[this.#low] !== State.WANTED) this.#low++;
    const average = Math.max(this.#content.size / count, 1);
    const share = this.#wanted * average / (2 * workers);
    const aimed = holder.rate === 0 ? LEAST_BYTES : holder.rate * AIMED_SECONDS;
    const most = Math.max(Math.min(aimed, share, MOST_BYTES), LEAST_BYTES);
    if (partial.length === 0) return this.#scan(this.#low, count, most, (i) => has(holder, i));
    // In a swarm everybody begins elsewhere, and takes from a source that has all only chunks that nobody else has, so
    // that each chunk is drawn from there about once.
    const rare = holder.held === undefined ? (i: number) => !partial.some((other) => other.willHave(i)) : () => true;
    if (holder.held === undefined && [...this.#running].some((running) => running.holder === holder)) return undefined;
    const block = Math.max(Math.round(SWARM_BYTES / average), 1);
    const blocks = Math.ceil((count - this.#low) / block);
    const start = this.#low + Math.floor(Math.random() * blocks) * block;
    const wanted = (i: number) => has(holder, i) && rare(i);
    return this.#scan(start, count, SWARM_BYTES, wanted) ?? this.#scan(this.#low, start, SWARM_BYTES, wanted);
  }

  /** The first run of wanted chunks in a range. */
  #scan(from: number, to: number, bytes: number, filter: (chunk: number) => boolean): ChunkSpan | undefined {
    const wanted = (i: number) => this.#state[i] === State.WANTED && filter(i);
    let first = from;
    while (first < to && !wanted(first)) first++;
    if (first >= to) return undefined;
    const start = this.#content.offset(first);
    let end = first + 1;
    while (end < to && wanted(end) && this.#content.offset(end) - start < bytes) end++;
    return { first, end };
  }

  /** Repeats the request that another source is slowest with, or stalls with. */
  #race(holder: Holder, stall: number): Running | undefined {
    let slowest: Running | undefined;
    let longest = 0;
    for (const running of this.#running) {
      if (running.holder === holder || running.raced) continue;
      const rest = this.#rest(running);
      if (rest === undefined || !has(holder, rest.first)) continue;
      const bytes = this.#content.offset(rest.end) - this.#content.offset(rest.first);
      // At the end a source that is known to be quick need not wait so long for one that has given next to nothing.
      const soon = Math.max(SOONEST, 2 * SLOWER * bytes / Math.max(holder.rate, 1) * 1000);
      const stalled = running.stalls(stall > STALL ? stall : Math.min(stall, soon));
      if (stall > STALL && !stalled) continue;
      const takes = stalled ? Infinity : bytes / Math.max(running.rate, 1);
      const wouldTake = bytes / (holder.rate === 0 ? PRESUMED_RATE : holder.rate);
      if (!stalled && (running.received === 0 || takes < SLOWER * wouldTake + STALL / 1000)) continue;
      if (takes <= longest) continue;
      longest = takes;
      slowest = running;
    }
    const rest = slowest && this.#rest(slowest);
    if (rest === undefined) return undefined;
    slowest!.raced = true;
    const running = this.#run(rest, holder);
    running.slower = slowest;
    return running;
  }

  /** The rest of a request, from its first missing chunk on. */
  #rest({ first, end }: ChunkSpan): ChunkSpan | undefined {
    while (first < end && this.#state[first] === State.HERE) first++;
    return first < end ? { first, end } : undefined;
  }
}

function has({ held }: Holder, chunk: number): boolean {
  return held === undefined || held.has(chunk);
}
