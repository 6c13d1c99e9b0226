/**
 * Who fetches what: sharing out the missing chunks of a snapshot among the requests that fetch them.
 *
 * @module
 */

import type { SnapshotContent, SnapshotInstall } from "../../snapshot/mod.ts";
import type { ChunkSet } from "../../stream/mod.ts";

/** Consecutive chunks of the content. */
export interface Span {
  /** The first. */
  readonly first: number;
  /** The one before which it ends. */
  readonly end: number;
}

/** What is known of a source, for choosing what it is asked for. */
export interface Holder {
  /** Which chunks it has, if not all of them. */
  readonly held: ChunkSet | undefined;
  /** Whether it has a chunk, or will have it soon: not to be asked for in the same place. */
  willHave(chunk: number): boolean;
  /** Bytes a second that a request to it gets; 0 if that is not known yet. */
  readonly rate: number;
  /** Whether it is, as far as one knows, receiving the snapshot itself. */
  readonly isReceiving: boolean;
}

/** The least that a request is for, and the first. */
const LEAST_BYTES = 1024 * 1024;
/** The most: little has to be done again when it fails. */
const MOST_BYTES = 8 * 1024 * 1024;
/** What is shared with others in a swarm: small, so that they soon have something to give. */
const SWARM_BYTES = 2 * 1024 * 1024;
/** A request is for what its source gives in so many seconds. */
const AIMED_SECONDS = 0.5;
/** Whoever has given nothing for so long stalls: somebody else may try, in milliseconds. */
const STALL = 1000;
/** In a swarm, who has all is to be spared: it takes longer before it is asked for what others are slow with. */
const PATIENCE = 3000;
/** How much longer than somebody else would a request has to take, for that one to try. */
const SLOWER = 2;
/** What is expected of somebody who has given nothing yet, when it is to try what another is slow with: bytes a second. */
const PRESUMED_RATE = 128 * 1024;
/** A request that gets less holds next to nothing in memory, and keeps nobody else from asking: bytes a second. */
const DRIP_RATE = 16 * 1024;

const State = { HERE: 0, WANTED: 1, ASSIGNED: 2 } as const;

/** A request that is running. */
export class Running implements Span {
  readonly first: number;
  readonly end: number;
  /** Whom it is to. */
  readonly holder: Holder;
  /** Chunks of it that are not here. */
  left: number;
  /** When it last came further. */
  movedAt: number = performance.now();
  /** Whether it waits for what is done here with its bytes, and not for its source: a disk that is slow is no stall. */
  isTaking = false;
  /** Bytes that came. */
  received = 0;
  /** Whether it is done again elsewhere. */
  raced = false;
  /** The request that is done again by this one. */
  slower: Running | undefined;
  /** Ends it when others were quicker with all of it. */
  readonly needless: AbortController = new AbortController();
  readonly #startedAt: number = performance.now();

  constructor(span: Span, holder: Holder, left: number) {
    this.first = span.first;
    this.end = span.end;
    this.holder = holder;
    this.left = left;
  }

  /** Bytes came. */
  moved(bytes: number): void {
    this.received += bytes;
    this.movedAt = performance.now();
  }

  /** Does something with its bytes, for which its source is not to be blamed. */
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

  /** For how long it has given nothing, in milliseconds. */
  get idle(): number {
    return this.isTaking ? 0 : performance.now() - this.movedAt;
  }

  /** Whether it neither stalls nor drips. */
  get flows(): boolean {
    if (this.isTaking) return true;
    return this.idle <= STALL && (performance.now() - this.#startedAt < STALL || this.rate >= DRIP_RATE);
  }
}

/** The chunks to be fetched, each by one request at a time; unless that one is slow and nothing else is left to do. */
export class Schedule {
  /** How many requests there can be at the same time. */
  readonly most: number;
  readonly #install: SnapshotInstall;
  readonly #content: SnapshotContent;
  readonly #state: Uint8Array;
  readonly #running = new Set<Running>();
  /** Nothing below is wanted. */
  #low = 0;
  #wanted = 0;
  #left = 0;
  #wake: () => void = () => {};
  #changed: Promise<void> | undefined;
  #drain: () => void = () => {};
  /** Resolves when all is here. */
  readonly drained: Promise<void> = new Promise((resolve) => this.#drain = resolve);

  /**
   * @param install what is missing of it is to be fetched
   * @param most how many requests there can be at the same time
   */
  constructor(install: SnapshotInstall, most: number = Infinity) {
    const { content } = install.manifest;
    this.#install = install;
    this.most = most;
    this.#content = content;
    this.#state = new Uint8Array(content.count);
    for (const { file, first, end } of install.missing()) {
      const start = content.firstChunk(file.name);
      this.#state.fill(State.WANTED, start + first, start + end);
      this.#wanted += end - first;
    }
    this.#left = this.#wanted;
    if (this.#left === 0) this.#drain();
  }

  /** Whether all is here. */
  get isDone(): boolean {
    return this.#left === 0;
  }

  /** Whether a source has something that is missing. */
  wants(holder: Holder): boolean {
    if (this.#left === 0) return false;
    const wants = ({ first, end }: Span) => {
      for (let i = first; i < end; i++) if (this.#state[i] !== State.HERE && has(holder, i)) return true;
      return false;
    };
    // What is being fetched may be anywhere, and have to be fetched again.
    return wants({ first: this.#low, end: this.#content.count }) || [...this.#running].some(wants);
  }

  /**
   * What a source is to be asked for next.
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

  /** Whether a chunk still has to come. */
  isMissing(chunk: number): boolean {
    return this.#state[chunk] !== State.HERE;
  }

  /** A chunk is here. */
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

  /** A request has ended; what of it is not here is to be fetched again, unless somebody else is at it. */
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

  /** How many requests are running, without those that stall. */
  get #flowing(): number {
    let count = 0;
    for (const { flows } of this.#running) if (flows) count++;
    return count;
  }

  #expect({ first, end }: Span, isExpected: boolean): void {
    for (let i = first; i < end; i++) {
      const { file, chunk } = this.#content.locate(i);
      this.#install.expect(file.name, chunk, isExpected);
    }
  }

  #run(span: Span, holder: Holder): Running {
    let left = 0;
    for (let i = span.first; i < span.end; i++) if (this.#state[i] !== State.HERE) left++;
    const running = new Running(span, holder, left);
    this.#running.add(running);
    return running;
  }

  #choose(holder: Holder, partial: readonly Holder[], workers: number): Span | undefined {
    const { count } = this.#content;
    while (this.#low < count && this.#state[this.#low] !== State.WANTED) this.#low++;
    const average = Math.max(this.#content.size / count, 1);
    const share = this.#wanted * average / (2 * workers);
    const aimed = holder.rate === 0 ? LEAST_BYTES : holder.rate * AIMED_SECONDS;
    const most = Math.max(Math.min(aimed, share, MOST_BYTES), LEAST_BYTES);
    if (partial.length === 0) return this.#scan(this.#low, count, most, (i) => has(holder, i));
    // In a swarm everybody begins elsewhere, and takes from who has all what nobody else has; so that each chunk is
    // drawn from there about once.
    const rare = holder.held === undefined ? (i: number) => !partial.some((other) => other.willHave(i)) : () => true;
    if (holder.held === undefined && [...this.#running].some((running) => running.holder === holder)) return undefined;
    const block = Math.max(Math.round(SWARM_BYTES / average), 1);
    const blocks = Math.ceil((count - this.#low) / block);
    const start = this.#low + Math.floor(Math.random() * blocks) * block;
    const wanted = (i: number) => has(holder, i) && rare(i);
    return this.#scan(start, count, SWARM_BYTES, wanted) ?? this.#scan(this.#low, start, SWARM_BYTES, wanted);
  }

  /** The first run of wanted chunks in a range. */
  #scan(from: number, to: number, bytes: number, filter: (chunk: number) => boolean): Span | undefined {
    const wanted = (i: number) => this.#state[i] === State.WANTED && filter(i);
    let first = from;
    while (first < to && !wanted(first)) first++;
    if (first >= to) return undefined;
    const start = this.#content.offset(first);
    let end = first + 1;
    while (end < to && wanted(end) && this.#content.offset(end) - start < bytes) end++;
    return { first, end };
  }

  /** What somebody else is slow with, or stalls with. */
  #race(holder: Holder, stall: number): Running | undefined {
    let slowest: Running | undefined;
    let longest = 0;
    for (const running of this.#running) {
      if (running.holder === holder || running.raced) continue;
      const rest = this.#rest(running);
      if (rest === undefined || !has(holder, rest.first)) continue;
      const bytes = this.#content.offset(rest.end) - this.#content.offset(rest.first);
      const stalled = running.idle > stall;
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

  /** What of a request is not here, from the first such chunk on. */
  #rest({ first, end }: Span): Span | undefined {
    while (first < end && this.#state[first] === State.HERE) first++;
    return first < end ? { first, end } : undefined;
  }
}

function has({ held }: Holder, chunk: number): boolean {
  return held === undefined || held.has(chunk);
}
