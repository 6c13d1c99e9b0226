/**
 * Sending a snapshot to another node.
 *
 * @module
 */

import { checkFunction, checkOptions, type Checks, checkSignal, checkTimeout, duration } from "../../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import {
  archive,
  checkMeta,
  checkReader,
  checkSigner,
  checkVerifier,
  describedArchive,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotVerifier,
  streamedArchive,
  type StreamedArchiveOptions,
  verifiedBy,
  type WriteFiles,
} from "../../snapshot/mod.ts";
import { LinkedAbort, Operation, pause, type Tracker } from "../../async/mod.ts";
import { checkThrottle, ChunkSet, streamFrom, type Throttle, toHex } from "../../stream/mod.ts";
import { HttpSource } from "./http_source.ts";
import { put } from "./put_archive.ts";
import { RETRY_FOR, RetryBudget } from "./retry_budget.ts";
import type { Source } from "./source.ts";
import { PROTOBUF_TYPE, readAnswer, responseError } from "../wire.ts";

/** The most bytes that are sent ahead of those that the other side has written. */
const WINDOW = 8 * 1024 * 1024;
/** The time between two questions about its progress, in milliseconds. */
const ASK_AGAIN = 10;
/** The time without progress after which more is sent all the same, in milliseconds. */
const NO_NEWS = 1000;

/**
 * Options of {@linkcode push}.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 */
export interface PushOptions {
  /** Cancels it; the chunks that the other side has stay there, so that it can be resumed. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Says whose snapshots may be sent on: of a storage in which others can write, which has no `verifier` itself. Any
   * other is `FORBIDDEN`, before the other side is asked.
   */
  readonly verifier?: SnapshotVerifier;
  /** Limits the rate of sending. */
  readonly throttle?: Throttle;
  /**
   * The longest time for which the other side may take nothing, or say nothing, in milliseconds. It makes everything
   * durable, and loads it, before it answers. 0 for no limit.
   *
   * @default {120000}
   */
  readonly timeout?: number;
  /**
   * The time for which the other side may fail in a row before the push fails, in milliseconds; 0 for no retry. See
   * `PullOptions.retryFor`. What would fail again (403, 413 of a proxy) is not retried.
   *
   * @default {15000}
   */
  readonly retryFor?: number;
}

/**
 * Sends a snapshot to be installed by another node: the chunks that it does not have, as one archive. It is asked first
 * (`PUT /snapshots/{index}/manifest`), and again after each failure, so that chunks that have arrived are not sent
 * again.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 * @param reader the snapshot; to be kept open meanwhile
 * @param target where to
 * @param options the signal, the rate, and how patient to be
 * @returns work that has succeeded when the other side has verified all of it, made it durable, and installed it, or
 *   is `upToDate`: it has a state that is as new; fails with the other side's error: `BUSY`, `CORRUPT`, `NO_SPACE`,
 *   `FORBIDDEN`, `STALE` if it is about to install a newer one …
 */
export function push(
  reader: SnapshotReader,
  target: Source,
  options: PushOptions = {},
): Operation<{ readonly upToDate: boolean }> {
  return new Operation((tracker) => new Push(reader, target, options, tracker).run());
}

/**
 * Options of {@linkcode pushLive}.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 */
export interface LivePushOptions
  extends Omit<PushOptions, "retryFor" | "verifier">, Pick<StreamedArchiveOptions, "signer"> {}

/** The checks of {@linkcode LivePushOptions}. */
export function livePushChecks(): Checks<LivePushOptions> {
  return { signal: checkSignal, throttle: checkThrottle, timeout: checkTimeout, signer: checkSigner };
}

/**
 * Sends a snapshot, while it is being written, to be installed by another node, with no storage in between. It cannot
 * be resumed: nothing of it is kept here. See `Replica.push`.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 * @param meta the metadata of the snapshot
 * @param write writes its files: a `SaveTask`'s `write`, for one
 * @param target where to
 * @param options the signal, the rate, and who signs
 * @returns work that has succeeded when the other side has installed it, or is `upToDate`: it has a state that is as
 *   new; fails with the other side's error, or with that of `write`
 */
export function pushLive(
  meta: SnapshotMeta,
  write: WriteFiles,
  target: Source,
  options: LivePushOptions = {},
): Operation<{ readonly upToDate: boolean }> {
  return new Operation(async (tracker) => {
    const { signal, signer, timeout = 120_000 } = checkOptions(options, livePushChecks());
    checkFunction(write, "write");
    const own = checkMeta(meta);
    tracker.phase("send");
    const content = streamedArchive(own, write, { signal, signer });
    const server = new HttpSource(target, timeout);
    await settle(server, `/snapshots/${own.lastIncludedIndex}`, signal);
    const { upToDate } = await put(server, own.lastIncludedIndex, content, options, tracker);
    return { upToDate };
  });
}

/**
 * Finds out, before a stream is sent that cannot be sent twice, whether the server has moved.
 *
 * @throws {SnapshotError} `FORBIDDEN` if it redirects to where the caller's requests may not go
 */
async function settle(server: HttpSource, path: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await server.exchange(path, { method: "OPTIONS" }, signal, () => Promise.resolve());
  } catch (error) {
    if (hasCode(error, "FORBIDDEN", "CANCELLED")) throw error; // the request itself will say the rest
  }
}

/**
 * Reports whether an answer was none of a server of snapshots: it may be a proxy's, just once. What the other side
 * refuses it says in a problem document, in which nothing is wrong.
 */
function isNoAnswer(error: unknown): boolean {
  return hasCode(error, "MALFORMED") && error.fields.status === 200 && error.cause !== undefined;
}

class Push {
  readonly #reader: SnapshotReader;
  readonly #server: HttpSource;
  readonly #options: PushOptions;
  readonly #tracker: Tracker;
  /** True once the other side had a wrong chunk: from then on chunks are verified here too, before they are sent. */
  #verifies = false;
  /** The error of the reader: a retry would not help. */
  #failure: { readonly error: unknown } | undefined;

  constructor(reader: SnapshotReader, target: Source, options: PushOptions, tracker: Tracker) {
    checkReader(reader, "reader");
    checkOptions(options, {
      signal: checkSignal,
      verifier: checkVerifier,
      throttle: checkThrottle,
      timeout: checkTimeout,
      retryFor: duration(),
    });
    this.#reader = reader;
    this.#server = new HttpSource(target, options.timeout ?? 120_000);
    this.#options = options;
    this.#tracker = tracker;
  }

  async run(): Promise<{ readonly upToDate: boolean }> {
    const { signal, verifier, retryFor = RETRY_FOR } = this.#options;
    await verifiedBy(verifier, this.#reader.manifest);
    const budget = new RetryBudget(retryFor);
    let sent = -1;
    for (let again = false;; again = true) {
      throwIfCancelled(signal);
      try {
        return await this.#send(again);
      } catch (error) {
        throwIfCancelled(signal);
        if (!this.#verifies && this.#failure === undefined && hasCode(error, "CORRUPT")) {
          this.#verifies = true; // what is wrong here is found out, and never sent again
          continue;
        }
        const { bytes } = this.#tracker.progress;
        if (bytes > sent) budget.succeeded(); // it came further than ever
        sent = Math.max(sent, bytes);
        const wait = this.#failure !== undefined
          ? undefined
          : isNoAnswer(error)
          ? budget.failedAlone(error)
          : budget.failed(error);
        if (wait === undefined) throw error;
        await pause(wait, signal);
      }
    }
  }

  /** The snapshot as it is sent: the other side verifies every chunk. */
  #source(): Pick<SnapshotReader, "manifest" | "file"> {
    const { manifest } = this.#reader;
    const unverified = !this.#verifies;
    return { manifest, file: (name, options) => this.#reader.file(name, { ...options, unverified }) };
  }

  async #send(again: boolean): Promise<{ readonly upToDate: boolean }> {
    const { manifest } = this.#reader;
    this.#tracker.restart();
    this.#tracker.phase("offer", manifest.size);
    let held: ChunkSet | undefined;
    if (manifest.verifiable) {
      const { content } = manifest;
      try {
        held = await this.#offer();
      } catch (error) {
        if (!hasCode(error, "STALE")) throw error;
        held = new ChunkSet(content.count); // none is wanted; sending asks whether what is there was loaded
        for (let i = 0; i < content.count; i++) held.add(i);
      }
      for (let i = 0; i < content.count; i++) if (held.has(i)) this.#tracker.reuse(content.length(i));
    }
    this.#tracker.phase("send");
    const content = held === undefined
      ? archive(this.#reader)
      : streamFrom(this.#paced(describedArchive(this.#source(), held), this.#tracker.progress.reused));
    const onFailure = (error: unknown) => this.#failure = { error };
    const installed = await put(this.#server, manifest.index, content, this.#options, this.#tracker, onFailure)
      .catch(async (error) => {
        if (!(again && hasCode(error, "STALE") && await this.#isInstalled())) throw error;
        return { digest: toHex(manifest.digest), upToDate: false }; // only the answer was lost
      });
    const { upToDate } = installed;
    if (upToDate || installed.digest === toHex(manifest.digest) || !manifest.verifiable) return { upToDate };
    throw new SnapshotError("UNAVAILABLE", `${this.#server.url} says that it has installed another snapshot`, {
      source: this.#server.url,
      index: manifest.index,
      expected: toHex(manifest.digest),
      actual: String(installed.digest).slice(0, 100),
    });
  }

  /**
   * Sends no more than a window ahead of the bytes that the other side has written. A connection is no measure of that:
   * proxies, and the servers of some runtimes (Deno 2.9, which gets slower and slower with it), take in a body without
   * a limit.
   */
  async *#paced(content: AsyncIterable<Uint8Array>, reused: number): AsyncGenerator<Uint8Array, void, undefined> {
    let sent = 0;
    let arrived = 0;
    let movedAt = performance.now();
    for await (const piece of content) {
      yield piece;
      sent += piece.length;
      while (sent - arrived > WINDOW) {
        const now = await this.#arrived();
        if (now !== undefined && now - reused > arrived) {
          arrived = now - reused;
          movedAt = performance.now();
        } else if (performance.now() - movedAt > NO_NEWS) {
          arrived = sent; // it does not say: the connection has to do
          movedAt = performance.now();
        } else {
          await pause(ASK_AGAIN, this.#options.signal);
        }
      }
    }
  }

  /** The number of bytes of the content that the other side has by now; nothing if it does not say so at once. */
  async #arrived(): Promise<number | undefined> {
    const path = `/snapshots/${toHex(this.#reader.manifest.digest)}`;
    const { signal } = this.#options;
    const stop = new LinkedAbort(signal);
    let arrived: number | undefined;
    const asking = this.#server.exchange(path, { method: "HEAD" }, stop.signal, ({ status, headers }) => {
      const offset = Number(headers.get("Upload-Offset") ?? NaN);
      if (status === 200 && offset >= 0) arrived = offset;
      return Promise.resolve();
    }).catch(() => {});
    await pause(NO_NEWS, signal, asking);
    stop.abort();
    stop.unlink();
    return arrived;
  }

  /** Reports whether the other side has all of it. */
  #isInstalled(): Promise<boolean> {
    const path = `/snapshots/${toHex(this.#reader.manifest.digest)}`;
    return this.#server.exchange(
      path,
      { method: "HEAD" },
      this.#options.signal,
      ({ status, headers }) => Promise.resolve(status === 200 && headers.get("Upload-Complete") === "?1"),
    );
  }

  /** Offers the snapshot, and returns the chunks that need not be sent. */
  #offer(): Promise<ChunkSet> {
    const { index, bytes, content: { count } } = this.#reader.manifest;
    const init = { method: "PUT", body: bytes as BodyInit, headers: { "Content-Type": PROTOBUF_TYPE } };
    const path = `/snapshots/${index}/manifest`;
    return this.#server.exchange(path, init, this.#options.signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.#server.url, watch);
      const read = (bytes: Uint8Array) => new ChunkSet(count, bytes);
      return await readAnswer(response, this.#server.url, "a set of chunks", Math.ceil(count / 8), watch, read);
    });
  }
}
