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
  checkTimeout,
  duration,
  integer,
  listOf,
  required,
} from "../../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import {
  checkAt,
  checkHeadroom,
  checkOffered,
  type CheckOptions,
  checkStorage,
  checkVerifier,
  isPassed,
  type SnapshotInfo,
  type SnapshotManifest,
  type SnapshotStorage,
  type SnapshotVerifier,
  stale,
  verifiedBy,
} from "../../snapshot/mod.ts";
import { neverThrowing, Operation, type Tracker } from "../../async/mod.ts";
import { checkThrottle, type Throttle, toHex, withJson } from "../../stream/mod.ts";
import { Fetching } from "./fetching.ts";
import { HttpSource } from "./http_source.ts";
import { Peer } from "./peer.ts";
import { isTransient, RETRY_FOR } from "./retry_budget.ts";
import { checkSource, type Source } from "./source.ts";
import { asError, type Found, survey } from "./survey.ts";

/**
 * Options of {@linkcode pull}.
 *
 * @category Transfer
 */
export interface PullOptions extends CheckOptions {
  /** Cancels it; the received chunks stay, so that it can be resumed. */
  readonly signal?: AbortSignal | undefined;
  /** The index of the snapshot; the newest if absent. */
  readonly index?: bigint | undefined;
  /**
   * The newest snapshot at or before this is taken: an index, or a time in milliseconds since 1970. Not with `index`.
   */
  readonly at?: bigint | number | undefined;
  /**
   * Says whose signature is trusted; by default the storage's verifier does, if it has one. With it the manifest is
   * taken from any source; without it from those that are not
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
   * The longest time for which a source may send nothing, in milliseconds. 0 for no limit. Long before it,
   * others attempt its requests.
   *
   * @default {15000}
   */
  readonly timeout?: number;
  /**
   * The time for which a source may fail in a row before it is dropped, in milliseconds; 0 for no retry. It is asked
   * again after 0.1 s to 5 s, or when it asks to be; longer waits that it asks for do not count.
   *
   * @default {15000}
   */
  readonly retryFor?: number;
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
  /**
   * Called when all of it is here, before it is tried and committed; may have that wait, or throw to refuse it. Nothing
   * is locked meanwhile.
   */
  readonly onReceived?: () => void | Promise<void>;
}

/** The checks of {@linkcode PullOptions}. */
export function pullChecks(): Checks<PullOptions> {
  return {
    signal: checkSignal,
    index: checkIndex,
    at: checkAt,
    verifier: checkVerifier,
    concurrency: integer(1),
    timeout: checkTimeout,
    retryFor: duration(),
    throttle: checkThrottle,
    onFurtherSource: checkFunction,
    onSourceError: checkFunction,
    onManifest: checkFunction,
    onReceived: checkFunction,
    check: checkFunction,
  };
}

/**
 * The result of {@linkcode pull}.
 *
 * @category Transfer
 */
export interface PullResult {
  /** True if nothing was fetched, since no source has a newer snapshot than is here. */
  readonly upToDate: boolean;
  /** The snapshot, in the storage; the newest one there if it is up to date. */
  readonly snapshot: SnapshotInfo;
  /** Bytes that were fetched and kept. */
  readonly fetched: number;
  /** Bytes that were here already, or came once and were needed more often. */
  readonly reused: number;
  /** The contribution of each source. */
  readonly sources: readonly PulledSource[];
}

/**
 * The contribution of a source to a {@linkcode pull}.
 *
 * @category Transfer
 */
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

/**
 * The most snapshots in a row of which nothing could be fetched: one who makes up new ones is not followed for ever.
 */
const MOST_FRUITLESS = 8;

/**
 * Fetches a snapshot into a storage.
 *
 * Chunks come from all sources at once; each is verified before it is written. Chunks that are here already, in other
 * snapshots or from an interrupted pull, are used first, and a chunk that the snapshot has several times comes once. A
 * source that fails is retried, later each time; a request that one is slow with, another attempts too; a source that
 * sends wrong bytes is dropped, and asked once more only if nobody else is left. If the snapshot is retired meanwhile,
 * or bad wherever it is, the newest other one is fetched in its stead, and the chunks that are here are used for it.
 *
 * A source may itself be fetching the snapshot: it is asked for the chunks that it has. Where several pull from each
 * other and from one that has all of it (`sources: [leader, ...followers]`, and a handler on the storage of each), each
 * chunk is drawn from that one about once.
 *
 * @category Transfer
 * @param storage where to
 * @param sources where from; all are asked at once, and the newest snapshot is taken that is named by one that is not
 *   `chunksOnly` or, with a verifier, that is signed
 * @param options see {@linkcode PullOptions}
 * @returns work that gives the snapshot, or the newest one here if no source has a newer one; fails with `STALE` if
 *   `index` or `at` means an older one, which is not here, `NOT_FOUND` if no source has any, `UNAVAILABLE` or `TIMEOUT`
 *   if one of those cannot be asked, `CORRUPT` if the last one sent wrong bytes, `FORBIDDEN` if it is of another group
 *   or not signed by somebody who is trusted, `CANCELLED`
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
 * const { snapshot } = await pull(here, [{ url: "http://there.example", fetch: handler }]);
 * console.assert(snapshot.meta.lastIncludedIndex === 9n);
 * await handler.close();
 * ```
 */
export function pull(
  storage: SnapshotStorage,
  sources: readonly Source[],
  options: PullOptions = {},
): Operation<PullResult> {
  return new Operation(async (tracker) => {
    try {
      return await new Pull(storage, sources, options, tracker).run();
    } catch (error) {
      if (!hasCode(error, "STALE")) throw error;
      const here = await storage.list();
      // With `at` it is the one that was found, or none: an older one here would be another answer.
      const { index = options.at === undefined ? undefined : (error as SnapshotError).fields.index } = options;
      const snapshot = index === undefined ? here[0] : here.find(({ meta }) => meta.lastIncludedIndex === index);
      if (snapshot === undefined || !isPassed(error, here[0]!.meta.lastIncludedIndex)) throw error;
      return withJson({ upToDate: true, snapshot, fetched: 0, reused: 0, sources: [] });
    }
  });
}

/** As {@linkcode pull}; fails with `STALE` if no source has a newer one: for callers with a state of their own. */
export function pullNewer(
  storage: SnapshotStorage,
  sources: readonly Source[],
  options: PullOptions,
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
    if (options.index !== undefined && options.at !== undefined) {
      throw new SnapshotError(
        "MALFORMED",
        "options.index names one snapshot, and options.at another: give one of them",
      );
    }
    if (sources.length === 0) throw new SnapshotError("MALFORMED", "There is no source to pull from");
    this.#sources = sources.map((source) => new HttpSource(source, options.timeout ?? 15_000));
  }

  async run(): Promise<PullResult> {
    const { index, onManifest } = this.#options;
    const excluded = new Set<string>();
    let fetched = 0;
    let first: SnapshotError | undefined;
    for (let fruitless = 0;;) {
      let found: Found;
      try {
        found = await this.#survey(excluded);
        onManifest?.(found.manifest);
      } catch (error) {
        throwIfCancelled(this.#options.signal);
        throw first ?? error; // of older ones nobody asked
      }
      this.#tracker.restart();
      const { snapshot, failure, reused, came } = await this.#install(found);
      fetched += came;
      if (snapshot !== undefined) {
        return withJson({ upToDate: false, snapshot, fetched, reused, sources: this.#peers.map(reportOf) });
      }
      fruitless = came > 0 ? 0 : fruitless + 1;
      first ??= failure;
      // Retired meanwhile, or bad there: the newest other one is fetched in its stead.
      const isBad = this.#peers.some(({ dropped }) => dropped !== undefined && !isTransient(dropped));
      if (!isBad || index !== undefined || fruitless === MOST_FRUITLESS) throw first;
      excluded.add(toHex(found.manifest.digest));
    }
  }

  /** The newest snapshot of those sources whose word, or signature, is trusted. */
  async #survey(excluded: ReadonlySet<string>): Promise<Found> {
    const { index, at, signal, verifier = this.#storage.verifier, retryFor = RETRY_FOR } = this.#options;
    const asked = this.#sources.filter(({ chunksOnly }) => verifier !== undefined || !chunksOnly);
    if (asked.length === 0) throw new SnapshotError("MALFORMED", "No source's word is taken on what the snapshot is");
    return await survey(asked, {
      index,
      at,
      signal,
      excluded,
      retryFor: excluded.size === 0 ? retryFor : 0,
      accept: (manifest, source, further) => this.#accept(manifest, source, further),
      report: (error) => this.#report(error),
    });
  }

  async #accept(manifest: SnapshotManifest, source: HttpSource, further: readonly URL[]): Promise<void> {
    const { verifier = this.#storage.verifier, onFurtherSource, timeout = 15_000 } = this.#options;
    const here = await this.#storage.list();
    checkOffered(this.#storage.group, here, manifest.meta, source.url);
    if (this.#options.index === undefined) checkHeadroom(manifest.meta);
    await verifiedBy(verifier, manifest);
    const newest = here[0]?.meta.lastIncludedIndex;
    if (newest !== undefined && manifest.index <= newest) throw stale(manifest.index, newest);
    for (const url of further) {
      const named = onFurtherSource?.(url);
      if (named === undefined) continue;
      const added = new HttpSource(named, timeout, true);
      if (!this.#sources.some(({ url }) => url === added.url)) this.#sources.push(added);
    }
  }

  /** Installs a snapshot, or says why it cannot be fetched. */
  async #install({ manifest, from }: Found): Promise<Installed> {
    const { signal, retryFor = RETRY_FOR, concurrency = 3, throttle, check, onReceived } = this.#options;
    const tracker = this.#tracker;
    const install = await this.#storage.install(manifest);
    try {
      tracker.phase("prepare", manifest.size);
      await install.prepare({ signal, onReused: (bytes, chunks) => tracker.reuse(bytes, chunks) });
      tracker.phase("fetch");
      this.#peers = this.#sources.map((source) => new Peer(source, manifest, from.includes(source), retryFor));
      const report = (error: unknown) => this.#report(error);
      const failure = await new Fetching(install, this.#peers, { signal, concurrency, throttle, tracker, report })
        .run();
      const { bytes, reused } = tracker.progress;
      if (failure !== undefined) return { failure, reused, came: bytes - reused };
      await onReceived?.();
      tracker.phase("commit");
      return { snapshot: await install.commit({ check }), reused, came: bytes - reused };
    } finally {
      await install.close();
    }
  }

  #report(error: unknown): void {
    this.#onSourceError(asError(error));
  }
}

/** The outcome of fetching one snapshot. */
interface Installed {
  readonly snapshot?: SnapshotInfo;
  /** Why it could not be had. */
  readonly failure?: SnapshotError;
  /** Bytes that were here, and bytes that came. */
  readonly reused: number;
  readonly came: number;
}

function reportOf({ source: { url }, bytes, rate, dropped }: Peer): PulledSource {
  return { url, bytes, rate, ...(dropped !== undefined && { dropped }) };
}
