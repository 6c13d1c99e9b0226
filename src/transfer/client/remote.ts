/**
 * Reading a snapshot where it is: on a server, by ranges.
 *
 * @module
 */

import { checkIndex, checkOptions, checkSignal, checkTimeout, duration, listOf, required } from "../../checks.ts";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import {
  type BadChunk,
  type ByteRange,
  checkReadOptions,
  checkVerifier,
  checkVerifyOptions,
  type FileInfo,
  MAX_LISTED_BAD,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotVerifier,
  verifiedBy,
  type VerifyOptions,
  type VerifyResult,
} from "../../snapshot/mod.ts";
import { Operation } from "../../async/mod.ts";
import { HttpSource } from "./http_source.ts";
import { RemoteContent } from "./remote_content.ts";
import { RETRY_FOR } from "./retry_budget.ts";
import { checkSource, type Source } from "./source.ts";
import { survey } from "./survey.ts";

/**
 * Options of {@linkcode openRemote}.
 *
 * @category Transfer
 */
export interface RemoteOptions {
  /** The index of the snapshot; the newest if absent. */
  readonly index?: bigint;
  /** Cancels the opening. */
  readonly signal?: AbortSignal;
  /** Refuses a snapshot that is not signed by somebody who is trusted. */
  readonly verifier?: SnapshotVerifier;
  /**
   * The longest time for which the server may send nothing, in milliseconds. 0 for no limit.
   *
   * @default {15000}
   */
  readonly timeout?: number;
  /**
   * The time for which a server may fail in a row, in milliseconds; 0 for no retry. See `PullOptions.retryFor`.
   *
   * @default {15000}
   */
  readonly retryFor?: number;
}

/**
 * Opens a snapshot that is on a server, without fetching it: each file, or range of one, is fetched when it is read,
 * and verified chunk by chunk. So a part of a state is restored by fetching that part.
 *
 * Of several servers the newest snapshot is opened, as {@linkcode pull} chooses it, and what one fails to send another
 * does, from where it broke off. A server that is busy is asked again when it wants to be.
 *
 * The server keeps the snapshot for as long as it is being read, and some time longer: see the handler's lease.
 *
 * @category Transfer
 * @param source the server, or several of one group
 * @param options see {@linkcode RemoteOptions}
 * @returns a reader; `verify` reads everything
 * @throws {SnapshotError} `NOT_FOUND`, `UNAVAILABLE`, `TIMEOUT`, `CANCELLED` …
 *
 * @example Some key groups of a state, out of a snapshot that is elsewhere
 * ```ts ignore
 * import { KeyedState, keyGroupRange, openRemote, stringKeys, utf8Codec } from "@snapstream/snapstream";
 *
 * const state = new KeyedState({ keys: stringKeys(), range: keyGroupRange(128, 3, 0) });
 * state.value("names", utf8Codec());
 * const reader = await openRemote("https://leader.example/");
 * await state.load(reader);
 * await reader.close();
 * ```
 */
export async function openRemote(
  source: Source | readonly Source[],
  options: RemoteOptions = {},
): Promise<SnapshotReader> {
  const { index, signal, verifier, timeout = 15_000, retryFor = RETRY_FOR } = checkOptions(options, {
    index: checkIndex,
    signal: checkSignal,
    verifier: checkVerifier,
    timeout: checkTimeout,
    retryFor: duration(),
  });
  const given = Array.isArray(source) ? source as readonly Source[] : [source as Source];
  listOf(required(checkSource))(given, "source");
  const servers = given.map((source) => new HttpSource(source, timeout));
  const asked = servers.filter(({ chunksOnly }) => verifier !== undefined || !chunksOnly);
  if (asked.length === 0) throw new SnapshotError("MALFORMED", "No source's word is taken on what the snapshot is");
  const { manifest, from } = await survey(asked, {
    index,
    signal,
    retryFor,
    excluded: new Set(),
    accept: (manifest) => verifiedBy(verifier, manifest),
    report: () => {},
  });
  // Those that named it come first; the others may have it, too.
  const ranked = [...from, ...servers.filter((server) => !from.includes(server))];
  if (manifest.verifiable) return new RemoteReader(new RemoteContent(ranked, manifest, retryFor), manifest);
  const { url } = from[0]!;
  throw new SnapshotError("UNSUPPORTED", `Snapshot ${manifest.index} of ${url} has no chunk digests: pull it`, {
    source: url,
    index: manifest.index,
  });
}

class RemoteReader implements SnapshotReader {
  readonly manifest: SnapshotManifest;
  readonly verified = "chunks";
  readonly #content: RemoteContent;
  readonly #closed = new AbortController();

  constructor(content: RemoteContent, manifest: SnapshotManifest) {
    this.#content = content;
    this.manifest = manifest;
  }

  get meta(): SnapshotMeta {
    return this.manifest.meta;
  }

  info(name: string): FileInfo {
    return this.manifest.file(name);
  }

  async size(name: string): Promise<number> {
    return this.info(name).chunks!.size;
  }

  file(name: string, range: ByteRange = {}): ReadableStream<Uint8Array> {
    const stop = new AbortController();
    const parts = this.#read(name, range, stop.signal);
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        stop.abort(); // or it would wait for a read that is stalled
        await parts.return();
      },
    }, { highWaterMark: 0 });
  }

  async *#read(
    name: string,
    range: ByteRange,
    cancelled: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const info = this.info(name);
    const chunks = info.chunks!;
    const { start, end } = checkReadOptions(range);
    this.#check();
    const stop = Math.min(end, chunks.size);
    if (start >= stop) return;
    const first = chunks.at(start);
    const last = chunks.at(stop - 1);
    const signal = AbortSignal.any([this.#closed.signal, ...(cancelled === undefined ? [] : [cancelled])]);
    try {
      let at = chunks.offset(first);
      for await (const chunk of this.#content.chunks({ name, chunks }, first, last + 1, signal)) {
        const part = chunk.subarray(Math.max(start - at, 0), Math.max(stop - at, 0));
        at += chunk.length;
        if (part.length > 0) yield part;
      }
    } catch (error) {
      this.#check();
      throw error;
    }
  }

  verify(options: VerifyOptions = {}): Operation<VerifyResult> {
    return new Operation<VerifyResult>(async (tracker) => {
      checkVerifyOptions(options);
      tracker.phase("verify", this.manifest.size);
      const bad: BadChunk[] = [];
      for (const { name, chunks } of this.manifest.files) {
        for (let start = 0; start < chunks!.size;) {
          try {
            for await (const chunk of this.#read(name, { start }, options.signal)) {
              throwIfCancelled(options.signal);
              tracker.add(chunk.length);
            }
            break;
          } catch (error) {
            if (!(error instanceof SnapshotError && error.code === "CORRUPT" && error.chunk !== undefined)) throw error;
            const { chunk, message } = error;
            if (bad.length < MAX_LISTED_BAD) bad.push({ file: name, chunk, message });
            start = chunks!.offset(chunk + 1); // the rest may be right
          }
        }
      }
      const { bytes, chunks } = tracker.progress;
      return { ok: bad.length === 0, verified: "chunks", bytes, chunks, bad };
    });
  }

  close(): Promise<void> {
    this.#closed.abort(new SnapshotError("CLOSED", "The snapshot's reader was closed"));
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
  }
}
