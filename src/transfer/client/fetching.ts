/**
 * Fetching the missing chunks of one snapshot from all sources at once.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import type { SnapshotInstall, SnapshotManifest } from "../../snapshot/mod.ts";
import { LinkedAbort, pause, raceAbort, type Tracker } from "../../async/mod.ts";
import type { Throttle } from "../../stream/mod.ts";
import type { Peer } from "./peer.ts";
import { isTransient } from "./retry_budget.ts";
import { type Running, Schedule } from "./schedule.ts";
import { SpanTransfer, type TransferContext } from "./span_transfer.ts";
import { asError } from "./survey.ts";

/** Bytes that all requests together may hold. */
const MEMORY = 32 * 1024 * 1024;
/** Requests at the same time, whatever the memory. */
const MOST_REQUESTS = 24;
/** The time after which an idle worker looks again whether another request stalls, in milliseconds. */
const LOOK_AGAIN = 250;
/** The most rounds of fetching: chunks that were here and turned out damaged are fetched anew. */
const ROUNDS = 3;
/** The wait before sources that gave a wrong answer are asked once more, in milliseconds. */
const DOUBT_WAIT = 100;

/** Options of {@linkcode Fetching}. */
export interface FetchingOptions {
  readonly signal: AbortSignal | undefined;
  /** Requests at the same time, for each source. */
  readonly concurrency: number;
  readonly throttle: Throttle | undefined;
  readonly tracker: Tracker;
  /** Told of each failure of a source. */
  readonly report: (error: unknown) => void;
}

/** Fetches what an install misses. */
export class Fetching {
  readonly #install: SnapshotInstall;
  readonly #peers: readonly Peer[];
  readonly #options: FetchingOptions;

  /**
   * @param install what is fetched
   * @param peers where from
   * @param options how, and who is told
   */
  constructor(install: SnapshotInstall, peers: readonly Peer[], options: FetchingOptions) {
    this.#install = install;
    this.#peers = peers;
    this.#options = options;
  }

  /**
   * Fetches the missing chunks, and those that turn out to be missing again.
   *
   * @returns the error for which sources were dropped, if some of it could not be had; nothing if all is here
   */
  async run(): Promise<SnapshotError | undefined> {
    for (let round = 1; round <= ROUNDS && !this.#install.missing().next().done;) {
      const failure = await this.#fetch();
      if (failure === undefined) round++;
      // Nobody is left: those whose answer was wrong are doubted, and asked once more.
      else if (this.#peers.filter((peer) => peer.revive()).length === 0) return failure;
      else await pause(DOUBT_WAIT, this.#options.signal);
    }
  }

  /** Fetches the missing chunks, until all are here or all sources are dropped. */
  async #fetch(): Promise<SnapshotError | undefined> {
    const { signal, throttle, tracker, concurrency } = this.#options;
    const install = this.#install;
    const requests = mostRequests(install.manifest);
    const schedule = new Schedule(install, requests);
    const stop = new LinkedAbort(signal);
    // Also ends a running write, which may put one chunk in a million places.
    stop.signal.addEventListener("abort", () => void install.close().catch(() => {}), { once: true });
    const done = new AbortController();
    void schedule.drained.then(() => done.abort());
    const looking = AbortSignal.any([stop.signal, done.signal]);
    let fatal: { readonly error: unknown } | undefined;
    const context = { install, schedule, tracker, throttle, buffers: [] };
    const each = Math.min(concurrency, requests);
    const worker = async (peer: Peer, number: number) => {
      try {
        await this.#work(context, peer, { number, of: each * this.#peers.length }, stop.signal, looking);
      } catch (error) {
        fatal ??= { error }; // the disk, not a source: the others need not continue
        stop.abort(error);
      } finally {
        schedule.wake();
      }
    };
    try {
      throwIfCancelled(signal);
      // One worker of each source first, then the second ones: where memory allows few requests, all have a turn.
      const numbers = Array.from({ length: each }, (_, number) => number);
      await Promise.all(numbers.flatMap((number) => this.#peers.map((peer) => worker(peer, number))));
      throwIfCancelled(signal);
      if (fatal !== undefined) throw fatal.error;
      if (schedule.isDone) return undefined;
      const reasons = this.#peers.map(({ dropped }) => dropped!);
      return reasons.find((reason) => !hasCode(reason, "NOT_FOUND")) ?? reasons[0]!;
    } finally {
      stop.unlink();
    }
  }

  /** The requests that each source may have: what memory allows, shared among those that are of use. */
  #share(schedule: Schedule): number {
    const useful = this.#peers.filter(({ isUseful }) => isUseful).length;
    return Math.max(Math.floor(schedule.most / Math.max(useful, 1)), 1);
  }

  /**
   * Fetches one span after the other from one source, until all is here or the source is dropped.
   *
   * @param worker its number among those of its source, and the number of all
   * @param signal cancels it
   * @param looking ends the looks at what it has: also when all is here
   */
  async #work(
    context: TransferContext,
    peer: Peer,
    worker: { readonly number: number; readonly of: number },
    signal: AbortSignal,
    looking: AbortSignal,
  ): Promise<void> {
    const { schedule } = context;
    while (peer.dropped === undefined && !schedule.isDone) {
      const { failures } = peer.budget;
      let transfer: SpanTransfer | undefined;
      try {
        if (peer.isDue) await raceAbort(peer.look(context.install.manifest, looking), looking);
        const mayTake = worker.number < this.#share(schedule);
        const running = mayTake ? schedule.take(peer, this.#peers, worker.of) : undefined;
        if (running === undefined) {
          if (mayTake && this.#isHopeless(peer, schedule)) return;
          await pause(Math.min(peer.nextLook, LOOK_AGAIN), signal, schedule.changed());
          continue;
        }
        transfer = new SpanTransfer(context, running, peer.source);
        await this.#transfer(transfer, running, peer, schedule, signal);
        peer.budget.succeeded();
        if (worker.of > schedule.most) await pause(0, signal); // now it is the turn of somebody who waits
      } catch (error) {
        if (signal.aborted || transfer?.failedToWrite) throw error;
        if (transfer === undefined && looking.aborted) return;
        this.#options.report(error);
        if (peer.dropped !== undefined) return;
        const hasMoved = transfer !== undefined && transfer.written > 0;
        if (hasMoved) peer.budget.succeeded();
        // Requests that failed together count as one failure.
        const isFirst = hasMoved ? peer.budget.failures === 0 : peer.budget.failures === failures;
        const wait = isFirst ? peer.budget.failed(error) : undefined;
        if (isFirst && wait === undefined || !isTransient(error)) {
          peer.dropped = asError(error);
          return;
        }
        if (wait !== undefined) peer.paused = pause(wait, signal, schedule.drained);
        await peer.paused;
      }
    }
  }

  async #transfer(
    transfer: SpanTransfer,
    running: Running,
    peer: Peer,
    schedule: Schedule,
    signal: AbortSignal,
  ): Promise<void> {
    const { needless } = running;
    try {
      await transfer.run(AbortSignal.any([signal, needless.signal]));
    } catch (error) {
      if (!needless.signal.aborted || signal.aborted || transfer.failed) throw error; // others were quicker
      if (running.received === 0) peer.outrun++;
    } finally {
      if (running.received > 0) peer.outrun = 0;
      peer.bytes += transfer.written;
      peer.measured(running.received, running.rate);
      schedule.ended(running);
    }
  }

  /** Drops a source that has no missing chunk, if nobody is left from whom it could get one; reports whether it did. */
  #isHopeless(peer: Peer, schedule: Schedule): boolean {
    if (peer.held === undefined || schedule.wants(peer)) return false;
    if (this.#peers.some(({ dropped, held }) => dropped === undefined && held === undefined)) return false;
    if (!peer.hasStopped) return false;
    peer.dropped = new SnapshotError("NOT_FOUND", `${peer.source.url} has nothing of the snapshot that is missing`, {
      source: peer.source.url,
    });
    return true;
  }
}

/** The most requests at a time: memory has to suffice for all. */
function mostRequests({ content: { files, size } }: SnapshotManifest): number {
  // The average size of the chunk that a byte lies in: beside a large file, thousands of small ones do not count.
  const chunk = files.reduce((sum, { chunks }) => sum + chunks.size * (chunks.size / Math.max(chunks.count, 1)), 0) /
    Math.max(size, 1);
  return Math.min(Math.floor(MEMORY / (1024 * 1024 + 2 * chunk)), MOST_REQUESTS);
}
