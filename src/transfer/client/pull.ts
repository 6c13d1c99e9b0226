/**
 * Fetching a snapshot: from any number of sources, verified, and resumed after any interruption.
 *
 * @module
 */

import {
  checkFunction,
  checkIndex,
  checkOptions,
  type Checks,
  checkSignal,
  duration,
  integer,
  listOf,
  required,
} from "../../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import {
  checkHeadroom,
  checkOffered,
  type CheckOptions,
  checkStorage,
  checkVerifier,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotStorage,
  type SnapshotVerifier,
  stale,
} from "../../snapshot/mod.ts";
import { neverThrowing, Operation, pause, raceAbort, type Tracker } from "../../async/mod.ts";
import { checkThrottle, type Throttle } from "../../stream/mod.ts";
import { backOff, isPassing, Peer } from "./peer.ts";
import { type Running, Schedule } from "./schedule.ts";
import { checkSource, HttpSource, type Source } from "./http_source.ts";
import { SpanTransfer, type TransferContext } from "./span_transfer.ts";

/** Options of {@linkcode pull}. */
export interface PullOptions extends CheckOptions {
  /** Cancels it; the received chunks stay, so that it can be resumed. */
  readonly signal?: AbortSignal | undefined;
  /** The index of the snapshot; the newest if absent. */
  readonly index?: bigint | undefined;
  /**
   * Says whose signature is trusted. With it the manifest is taken from any source; without it from those that are not
   * `chunksOnly`.
   */
  readonly verifier?: SnapshotVerifier | undefined;
  /**
   * Requests at the same time, for each source; fewer with many sources, so that memory stays bounded.
   *
   * @default {3}
   */
  readonly concurrency?: number;
  /**
   * The longest time for which a source may send nothing, in milliseconds. Long before that, others attempt its
   * requests.
   *
   * @default {15000}
   */
  readonly timeout?: number;
  /**
   * The number of failures in a row after which a source is dropped; with waits from 0.1 s to 5 s, or as long as it
   * asks for, the default takes some fifteen seconds.
   *
   * @default {8}
   */
  readonly attempts?: number;
  /** Limits the rate of fetching. */
  readonly throttle?: Throttle | undefined;
  /**
   * Called with each further source that a source names with its manifest. Returns how to fetch chunks from it, or
   * nothing to ignore it. By default all are ignored: an address may lead anywhere, and whoever names it is not asked
   * for a password.
   */
  readonly onFurtherSource?: (url: URL) => Source | undefined;
  /** Told of every failure of a source, also of those that others make up for. */
  readonly onSourceError?: (error: SnapshotError) => void;
  /**
   * Called with the manifest before any chunk is fetched; again if the snapshot is replaced. May throw to refuse it.
   */
  readonly onManifest?: (manifest: SnapshotManifest) => void;
}

/** The checks of {@linkcode PullOptions}. */
export function pullChecks(): Checks<PullOptions> {
  return {
    signal: checkSignal,
    index: checkIndex,
    verifier: checkVerifier,
    concurrency: integer(1),
    timeout: duration(),
    attempts: integer(1),
    throttle: checkThrottle,
    onFurtherSource: checkFunction,
    onSourceError: checkFunction,
    onManifest: checkFunction,
    check: checkFunction,
  };
}

/** The result of {@linkcode pull}. */
export interface PullResult {
  /** The snapshot, in the storage. */
  readonly snapshot: SnapshotInfo;
  /** Bytes that were fetched and kept. */
  readonly fetched: number;
  /** Bytes that were here already, or came once and were needed more often. */
  readonly reused: number;
  /** The contribution of each source. */
  readonly sources: readonly PulledSource[];
}

/** The contribution of a source to a {@linkcode pull}. */
export interface PulledSource {
  /** Its address. */
  readonly url: string;
  /** Bytes of it that were kept. */
  readonly bytes: number;
  /** Bytes a second that a request to it got, of late. */
  readonly rate: number;
  /** The error for which it was dropped. */
  readonly dropped?: SnapshotError;
}

/** Bytes that all requests together may hold. */
const MEMORY = 32 * 1024 * 1024;
/** Requests at the same time, whatever the memory. */
const MOST_REQUESTS = 24;
/** The time after which an idle worker looks again whether another request stalls, in milliseconds. */
const LOOK_AGAIN = 250;
/** The most rounds of fetching: chunks that were here and turned out damaged are fetched anew. */
const ROUNDS = 3;

/**
 * Fetches a snapshot into a storage.
 *
 * Chunks come from all sources at once; each is verified before it is written. Chunks that are here already, in other
 * snapshots or from an interrupted pull, are used first, and a chunk that the snapshot has several times comes once. A
 * source that fails is retried, later each time; a request that one is slow with, another attempts too; a source that
 * sends wrong bytes is dropped. If the snapshot is retired meanwhile, the newest is fetched in its stead, and the
 * chunks that are here of the old one are used for it.
 *
 * A source may itself be fetching the snapshot: it is asked for the chunks that it has. Where several pull from each
 * other and from one that has all of it (`sources: [leader, ...followers]`, and a handler on the storage of each), each
 * chunk is drawn from that one about once.
 *
 * @param storage where to
 * @param sources where from; the first that can be reached and is not `chunksOnly` says which snapshot it is; with a
 *   verifier, the first that can be reached
 * @param options see {@linkcode PullOptions}
 * @returns work that gives the snapshot; fails with `STALE` if it is not newer than what is here, `NOT_FOUND` if no
 *   source has it, `UNAVAILABLE` if too many failed, `CORRUPT` if the last one sent wrong bytes, `FORBIDDEN` if it is
 *   of another group or not signed by somebody who is trusted, `CANCELLED`
 *
 * @example
 * ```ts
 * import { MemoryStorage, pull, snapshotHandler } from "@snapstream/snapstream";
 *
 * const there = new MemoryStorage();
 * const writer = await there.create();
 * await ReadableStream.from([new Uint8Array(500_000)]).pipeTo(writer.file("state"));
 * await writer.commit({ lastIncludedIndex: 9n, lastIncludedTerm: 2n, peers: [] });
 * const handler = snapshotHandler(there);
 *
 * const here = new MemoryStorage();
 * const { snapshot } = await pull(here, [{ url: "http://there.example", fetch: handler }]).result;
 * console.assert(snapshot.meta.lastIncludedIndex === 9n);
 * await handler.close();
 * ```
 */
export function pull(
  storage: SnapshotStorage,
  sources: readonly Source[],
  options: PullOptions = {},
): Operation<PullResult> {
  return new Operation((tracker) => new Pull(storage, sources, options, tracker).run());
}

class Pull {
  readonly #storage: SnapshotStorage;
  readonly #options: PullOptions;
  readonly #tracker: Tracker;
  readonly #sources: HttpSource[];
  readonly #onSourceError: (error: SnapshotError) => void;
  #peers: readonly Peer[] = [];

  constructor(storage: SnapshotStorage, sources: readonly Source[], options: PullOptions, tracker: Tracker) {
    checkStorage(storage, "storage");
    listOf(required(checkSource))(sources, "sources");
    this.#storage = storage;
    this.#options = checkOptions(options, pullChecks());
    this.#tracker = tracker;
    this.#onSourceError = neverThrowing(options.onSourceError ?? (() => {}));
    if (sources.length === 0) throw new SnapshotError("MALFORMED", "There is no source to pull from");
    this.#sources = sources.map((source) => new HttpSource(source, options.timeout ?? 15_000));
  }

  async run(): Promise<PullResult> {
    let fetched = 0;
    let retired: { readonly index: bigint; readonly error: SnapshotError } | undefined;
    for (;;) {
      const { manifest, from } = await this.#manifest();
      if (retired !== undefined && manifest.index <= retired.index) throw retired.error;
      const [newest] = await this.#storage.list();
      if (newest !== undefined && manifest.index <= newest.meta.lastIncludedIndex) {
        throw stale(manifest.index, newest.meta.lastIncludedIndex);
      }
      if (this.#options.index === undefined) checkHeadroom(manifest.meta);
      this.#options.onManifest?.(manifest);
      this.#tracker.restart();
      const install = await this.#storage.install(manifest);
      try {
        this.#tracker.phase("prepare", manifest.size);
        await install.prepare({
          signal: this.#options.signal,
          onReused: (bytes, chunks) => this.#tracker.reuse(bytes, chunks),
        });
        this.#tracker.phase("fetch");
        this.#peers = this.#sources.map((source) => new Peer(source, manifest, source === from));
        const error = await this.#fetchAll(install);
        const { bytes, reused } = this.#tracker.progress;
        fetched += bytes - reused;
        if (error !== undefined) {
          retired = { index: manifest.index, error }; // continue with the newest
          continue;
        }
        this.#tracker.phase("commit");
        const snapshot = await install.commit({ check: this.#options.check });
        return { snapshot, fetched, reused, sources: this.#peers.map(reportOf) };
      } finally {
        await install.close();
      }
    }
  }

  /** The manifest, from the first source that can be reached and whose word, or signature, is trusted. */
  async #manifest(): Promise<{ readonly manifest: SnapshotManifest; readonly from: HttpSource }> {
    const { signal, verifier, attempts = 8 } = this.#options;
    const asked = this.#sources.filter(({ chunksOnly }) => verifier !== undefined || !chunksOnly);
    if (asked.length === 0) throw new SnapshotError("MALFORMED", "No source's word is taken on what the snapshot is");
    for (let attempt = 1;; attempt++) {
      let failure: unknown;
      for (const from of asked) {
        try {
          return { manifest: await this.#manifestFrom(from), from };
        } catch (error) {
          throwIfCancelled(signal);
          this.#report(error);
          // A transient error is worth a retry, more than a clear no of another source.
          if (failure === undefined || isPassing(error)) failure = error;
        }
      }
      if (attempt >= attempts || !isPassing(failure)) throw failure;
      await backOff(attempt, failure, signal);
    }
  }

  async #manifestFrom(source: HttpSource): Promise<SnapshotManifest> {
    const { index, signal, verifier, onFurtherSource, timeout = 15_000 } = this.#options;
    const { manifest, further } = await source.manifest(index, signal);
    checkOffered(this.#storage.group, await this.#storage.list(), manifest.meta, source.url);
    await verifier?.verify(manifest);
    for (const url of further) {
      const named = onFurtherSource?.(url);
      if (named === undefined) continue;
      const added = new HttpSource(named, timeout, true);
      if (!this.#sources.some(({ url }) => url === added.url)) this.#sources.push(added);
    }
    return manifest;
  }

  /** Fetches the missing chunks, and those that turn out to be missing again. See {@linkcode #fetch}. */
  async #fetchAll(install: SnapshotInstall): Promise<SnapshotError | undefined> {
    for (let round = 1; round <= ROUNDS && !install.missing().next().done; round++) {
      const retired = await this.#fetch(install);
      if (retired !== undefined) return retired;
    }
  }

  /** Fetches the missing chunks. Returns an error if a source no longer has this snapshot, and may have a newer one. */
  async #fetch(install: SnapshotInstall): Promise<SnapshotError | undefined> {
    const { signal, index, throttle } = this.#options;
    const requests = mostRequests(install.manifest);
    const schedule = new Schedule(install, requests);
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    // Also ends a running write, which may put one chunk in a million places.
    stop.signal.addEventListener("abort", () => void install.close().catch(() => {}), { once: true });
    const done = new AbortController();
    void schedule.drained.then(() => done.abort());
    const looking = AbortSignal.any([stop.signal, done.signal]);
    let fatal: { readonly error: unknown } | undefined;
    const context = { install, schedule, tracker: this.#tracker, throttle, buffers: [] };
    const worker = async (peer: Peer, workers: number) => {
      try {
        await this.#work(context, peer, workers, stop.signal, looking);
      } catch (error) {
        fatal ??= { error }; // the disk, not a source: the others need not continue
        stop.abort(error);
      } finally {
        schedule.wake();
      }
    };
    try {
      throwIfCancelled(signal);
      const share = Math.floor(requests / this.#peers.length);
      const each = Math.max(Math.min(this.#options.concurrency ?? 3, share), 1);
      const peers = this.#peers.flatMap((peer) => Array.from({ length: each }, () => peer));
      await Promise.all(peers.map((peer) => worker(peer, peers.length)));
      throwIfCancelled(signal);
      if (fatal !== undefined) throw fatal.error;
      if (schedule.isDone) return undefined;
      const reasons = this.#peers.map(({ dropped }) => dropped!);
      const reason = reasons.find((reason) => !hasCode(reason, "NOT_FOUND")) ?? reasons[0]!;
      if (reasons.some((reason) => hasCode(reason, "NOT_FOUND")) && index === undefined) return reason;
      throw reason;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Fetches one span after the other from one source, until all is here or the source is dropped.
   *
   * @param signal cancels it
   * @param looking ends the looks at what it has: also when all is here
   */
  async #work(
    context: TransferContext,
    peer: Peer,
    workers: number,
    signal: AbortSignal,
    looking: AbortSignal,
  ): Promise<void> {
    const { schedule } = context;
    while (peer.dropped === undefined && !schedule.isDone) {
      const { failures } = peer;
      let transfer: SpanTransfer | undefined;
      try {
        if (peer.isDue) await raceAbort(peer.look(context.install.manifest, looking), looking);
        const running = schedule.take(peer, this.#peers, workers);
        if (running === undefined) {
          if (this.#isHopeless(peer, schedule)) return;
          await pause(Math.min(peer.nextLook, LOOK_AGAIN), signal, schedule.changed());
          continue;
        }
        transfer = new SpanTransfer(context, running, peer.source);
        await this.#transfer(transfer, running, peer, schedule, signal);
        peer.failures = 0;
        if (workers > context.schedule.most) await pause(0, signal); // now it is the turn of somebody who waits
      } catch (error) {
        if (signal.aborted || transfer?.failedToWrite) throw error;
        if (transfer === undefined && looking.aborted) return;
        this.#report(error);
        if (peer.dropped !== undefined) return;
        if (transfer !== undefined && transfer.written > 0) peer.failures = 0;
        const first = peer.failures === failures; // of the requests that failed together, which count as one
        if (first) peer.failures++;
        if (peer.failures >= (this.#options.attempts ?? 8) || !isPassing(error)) {
          peer.dropped ??= asError(error);
          return;
        }
        if (first) peer.paused = backOff(peer.failures, error, signal, schedule.drained);
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
    if (!peer.hasStopped(this.#options.attempts ?? 8)) return false;
    peer.dropped = new SnapshotError("NOT_FOUND", `${peer.source.url} has nothing of the snapshot that is missing`, {
      source: peer.source.url,
    });
    return true;
  }

  #report(error: unknown): void {
    this.#onSourceError(asError(error));
  }
}

/** The most requests at a time: memory has to suffice for all. */
function mostRequests({ content: { files, size } }: SnapshotManifest): number {
  // The average size of the chunk that a byte lies in: beside a large file, thousands of small ones do not count.
  const chunk = files.reduce((sum, { chunks }) => sum + chunks.size * (chunks.size / Math.max(chunks.count, 1)), 0) /
    Math.max(size, 1);
  return Math.min(Math.floor(MEMORY / (1024 * 1024 + 2 * chunk)), MOST_REQUESTS);
}

function reportOf({ source: { url }, bytes, rate, dropped }: Peer): PulledSource {
  return { url, bytes, rate, ...(dropped !== undefined && { dropped }) };
}

function asError(error: unknown): SnapshotError {
  return error instanceof SnapshotError ? error : new SnapshotError("UNAVAILABLE", messageOf(error), { cause: error });
}
