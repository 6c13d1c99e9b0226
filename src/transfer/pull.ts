/**
 * Fetching a snapshot: from any number of sources, verified, and gone on with after whatever interrupted it.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  type ChunkRun,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotStorage,
  stale,
} from "../snapshot/mod.ts";
import { InFlight, Operation, raceAbort, type Tracker } from "../stream/mod.ts";
import { HttpSource, type SourceOptions } from "./source.ts";
import { SpanPool } from "./spans.ts";

/** A server to fetch from: its address, or more about it. */
export type Source = string | URL | SourceOptions;

/** Options of {@linkcode pull}. */
export interface PullOptions {
  /** Gives it up; what was received stays, to be gone on with. */
  readonly signal?: AbortSignal | undefined;
  /** Which snapshot; the newest if absent. */
  readonly index?: bigint | undefined;
  /**
   * Requests at the same time, for each source.
   *
   * @default {3}
   */
  readonly concurrency?: number;
  /**
   * How long a source may send nothing, in milliseconds.
   *
   * @default {15000}
   */
  readonly timeout?: number;
  /**
   * How often in a row a source may fail before it is given up.
   *
   * @default {5}
   */
  readonly attempts?: number;
  /** Told of every failure of a source, also of those that others make up for. */
  readonly onSourceError?: (error: SnapshotError) => void;
  /** Told which snapshot it is, before anything of it is fetched; again if it is replaced. May throw to refuse it. */
  readonly onManifest?: (manifest: SnapshotManifest) => void;
}

/** What {@linkcode pull} gave. */
export interface PullResult {
  /** The snapshot, in the storage. */
  readonly snapshot: SnapshotInfo;
  /** Bytes that were fetched. */
  readonly fetched: number;
  /** Bytes that were here already. */
  readonly reused: number;
}

/** About how many bytes of one request are being verified and written at the same time. */
const WRITE_BYTES = 1024 * 1024;
/** The first wait after a failure, in milliseconds; doubled with each. */
const FIRST_WAIT = 100;
/** The longest such wait. */
const LONGEST_WAIT = 5000;

/**
 * Fetches a snapshot into a storage.
 *
 * Chunks come from all sources at once; each is verified before it is written. What is here already, in other snapshots or
 * from an interrupted pull, is used first. A source that fails is tried again, later each time; one that sends wrong
 * bytes is dropped. If the snapshot is retired meanwhile, the newest is fetched in its stead, and what is here of the
 * old one used for it.
 *
 * @param storage where to
 * @param sources where from; which snapshot it is, the first says that can be reached and is not `chunksOnly`
 * @param options see {@linkcode PullOptions}
 * @returns work that gives the snapshot; fails with `STALE` if it is not newer than what is here, `NOT_FOUND` if no
 *   source has it, `UNAVAILABLE` if too many failed, `CORRUPT` if the last one sent wrong bytes, `CANCELLED`
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

/** A source while it is used. */
interface Peer {
  readonly source: HttpSource;
  failures: number;
  /** Until when nothing is asked of it, after a failure. */
  paused?: Promise<void>;
  /** Why it is not used any more. */
  dropped?: SnapshotError;
}

class Pull {
  readonly #storage: SnapshotStorage;
  readonly #options: PullOptions;
  readonly #tracker: Tracker;
  readonly #sources: readonly HttpSource[];
  /** For chunks, to be used again: a runtime does not hurry to collect what it cannot see the size of. */
  readonly #buffers: Uint8Array[] = [];

  constructor(storage: SnapshotStorage, sources: readonly Source[], options: PullOptions, tracker: Tracker) {
    this.#storage = storage;
    this.#options = options;
    this.#tracker = tracker;
    if (sources.length === 0) throw new SnapshotError("MALFORMED", "There is no source to pull from");
    this.#sources = sources.map((source) => new HttpSource(source, options.timeout ?? 15_000));
  }

  async run(): Promise<PullResult> {
    let fetched = 0;
    let retired: { readonly index: bigint; readonly error: SnapshotError } | undefined;
    for (;;) {
      const manifest = await this.#manifest();
      if (retired !== undefined && manifest.index <= retired.index) throw retired.error;
      const [newest] = await this.#storage.list();
      if (newest !== undefined && manifest.index <= newest.meta.lastIncludedIndex) {
        throw stale(manifest.index, newest.meta);
      }
      this.#options.onManifest?.(manifest);
      this.#tracker.restart();
      const install = await this.#storage.install(manifest);
      try {
        this.#tracker.phase("prepare", manifest.size);
        await install.prepare({
          signal: this.#options.signal,
          onReused: (bytes, chunks) => this.#tracker.reuse(bytes, chunks),
        });
        const { reused } = this.#tracker.progress;
        this.#tracker.phase("fetch");
        const error = await this.#fetch(install);
        fetched += this.#tracker.progress.bytes - reused;
        if (error !== undefined) {
          retired = { index: manifest.index, error }; // on with the newest
          continue;
        }
        this.#tracker.phase("commit");
        return { snapshot: await install.commit(), fetched, reused };
      } finally {
        await install.close();
      }
    }
  }

  /** The manifest, from the first source that can be reached and whose word is taken. */
  async #manifest(): Promise<SnapshotManifest> {
    const { index, signal, attempts = 5 } = this.#options;
    const asked = this.#sources.filter(({ chunksOnly }) => !chunksOnly);
    if (asked.length === 0) throw new SnapshotError("MALFORMED", "No source's word is taken on what the snapshot is");
    for (let attempt = 1;; attempt++) {
      let failure: unknown;
      for (const source of asked) {
        try {
          return await source.manifest(index, signal);
        } catch (error) {
          throwIfCancelled(signal);
          this.#report(error);
          // What may pass is worth another try, more than a clear no of another source.
          if (failure === undefined || isPassing(error)) failure = error;
        }
      }
      if (attempt >= attempts || !isPassing(failure)) throw failure;
      await pause(attempt, failure, signal);
    }
  }

  /** Fetches what is missing. Gives why not if a source does not have this snapshot any more, and may have a newer one. */
  async #fetch(install: SnapshotInstall): Promise<SnapshotError | undefined> {
    const { concurrency = 3, signal } = this.#options;
    const pool = new SpanPool(install.missing());
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const peers: Peer[] = this.#sources.map((source) => ({ source, failures: 0 }));
    let fatal: { readonly error: unknown } | undefined;
    const worker = async (peer: Peer) => {
      try {
        await this.#work(install, pool, peer, stop.signal);
      } catch (error) {
        fatal ??= { error }; // the disk, not a source: the others need not go on
        stop.abort(error);
      } finally {
        pool.wake();
      }
    };
    try {
      throwIfCancelled(signal);
      await Promise.all(peers.flatMap((peer) => Array.from({ length: concurrency }, () => worker(peer))));
      throwIfCancelled(signal);
      if (fatal !== undefined) throw fatal.error;
      if (install.missing().next().done) return undefined;
      const reasons = peers.map(({ dropped }) => dropped!);
      const reason = reasons.find((reason) => !hasCode(reason, "NOT_FOUND")) ?? reasons[0]!;
      const retired = reasons.some((reason) => hasCode(reason, "NOT_FOUND"));
      if (retired && this.#options.index === undefined) return reason;
      throw reason;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Fetches one run after the other from one source, until there is none left or the source is dropped. */
  async #work(install: SnapshotInstall, pool: SpanPool, peer: Peer, signal: AbortSignal): Promise<void> {
    while (peer.dropped === undefined) {
      const span = await raceAbort(pool.take(), signal);
      if (span === undefined) return;
      const { failures } = peer;
      const transfer = new SpanTransfer(install, span, peer.source.url, this.#tracker, this.#buffers);
      try {
        await transfer.run(peer.source, signal);
        peer.failures = 0;
        pool.done();
      } catch (error) {
        pool.done(transfer.rest);
        if (signal.aborted || transfer.failedToWrite) throw error;
        this.#report(error);
        if (transfer.progressed) peer.failures = 0;
        const attempts = this.#options.attempts ?? 5;
        const first = peer.failures === failures; // of the requests that failed together, which count as one
        if (first) peer.failures++;
        if (peer.failures >= attempts || !isPassing(error)) {
          peer.dropped ??= asError(error);
          return;
        }
        if (first) peer.paused = pause(peer.failures, error, signal, pool.drained);
        await peer.paused;
      }
    }
  }

  #report(error: unknown): void {
    this.#options.onSourceError?.(asError(error));
  }
}

/** One request: its bytes, cut into chunks, verified and written. */
class SpanTransfer {
  readonly #install: SnapshotInstall;
  readonly #span: ChunkRun;
  readonly #source: string;
  readonly #tracker: Tracker;
  readonly #buffers: Uint8Array[];
  readonly #writes = new InFlight<void>();
  /** Chunks that were written; not always in order. */
  readonly #written = new Set<number>();
  /** The chunk that is being received. */
  #next: number;
  #chunk: Uint8Array | undefined;
  #filled = 0;
  /** Whether it was the storage that failed, and not the source. */
  failedToWrite = false;

  constructor(install: SnapshotInstall, span: ChunkRun, source: string, tracker: Tracker, buffers: Uint8Array[]) {
    this.#buffers = buffers;
    this.#install = install;
    this.#span = span;
    this.#source = source;
    this.#tracker = tracker;
    this.#next = span.first;
  }

  /** What was not written, from the first such chunk on. */
  get rest(): ChunkRun {
    let { first } = this.#span;
    while (this.#written.has(first)) first++;
    return { ...this.#span, first };
  }

  /** Whether anything was written. */
  get progressed(): boolean {
    return this.#written.size > 0;
  }

  async run(source: HttpSource, signal: AbortSignal): Promise<void> {
    const { file, first, end } = this.#span;
    const chunks = file.chunks!;
    const last = chunks.offset(end - 1) + chunks.length(end - 1);
    try {
      await source.range(
        this.#install.manifest,
        file,
        chunks.offset(first),
        last,
        signal,
        (piece) => this.#take(piece),
      );
      while (this.#writes.size > 0) await this.#writes.next();
    } finally {
      await this.#writes.settled();
    }
  }

  async #take(piece: Uint8Array): Promise<void> {
    const { file: { chunks } } = this.#span;
    for (let at = 0; at < piece.length;) {
      const length = chunks!.length(this.#next);
      this.#chunk ??= this.#buffer(length);
      const taken = Math.min(length - this.#filled, piece.length - at);
      this.#chunk.set(piece.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled < length) continue;
      this.#writes.add(this.#write(this.#next++, this.#chunk));
      this.#chunk = undefined;
      this.#filled = 0;
      if (this.#writes.size * length >= WRITE_BYTES) await this.#writes.next();
    }
  }

  async #write(chunk: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#install.write(this.#span.file.name, chunk, bytes);
    } catch (error) {
      if (hasCode(error, "CORRUPT")) {
        throw new SnapshotError("CORRUPT", `${this.#source} sent wrong bytes: ${error.message}`, {
          ...error.fields,
          source: this.#source,
          cause: error,
        });
      }
      this.failedToWrite = true;
      throw error;
    }
    this.#written.add(chunk);
    this.#tracker.add(bytes.length);
    this.#buffers.push(bytes);
  }

  #buffer(length: number): Uint8Array {
    const buffer = this.#buffers.pop();
    return buffer?.length === length ? buffer : new Uint8Array(length);
  }
}

/** Whether an error may pass: the source does not answer, is busy, broke off. Not: it said no, or sent wrong bytes. */
function isPassing(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE", "TIMEOUT", "BUSY", "CLOSED");
}

function asError(error: unknown): SnapshotError {
  return error instanceof SnapshotError ? error : new SnapshotError("UNAVAILABLE", messageOf(error), { cause: error });
}

/** Waits before another try: longer each time, and as long as the source asks for; not if there is nothing to do. */
async function pause(
  failures: number,
  error: unknown,
  signal: AbortSignal | undefined,
  needless: Promise<void> = new Promise(() => {}),
): Promise<void> {
  const asked = error instanceof SnapshotError ? error.fields.retryAfter ?? 0 : 0;
  const wait = Math.min(Math.max(FIRST_WAIT * 2 ** (failures - 1), asked), LONGEST_WAIT);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, wait));
    await raceAbort(Promise.race([over, needless]), signal);
  } finally {
    clearTimeout(timer);
  }
}
