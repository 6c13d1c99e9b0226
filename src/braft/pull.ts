/**
 * Copying a snapshot from a braft node.
 *
 * @module
 */

import { checkOptions, checkSignal, checkString, checkTimeout, limitOf } from "../checks.ts";
import { InFlight, Operation, type Tracker } from "../async/mod.ts";
import {
  attributesOf,
  checkStorage,
  type ChunkSpan,
  copied,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotStorage,
} from "../snapshot/mod.ts";
import { checkThrottle, type Throttle } from "../stream/mod.ts";
import { BraftClient, parseAddress } from "./client.ts";

/** Bytes of chunks that are being verified and written at the same time. */
const WRITE_BYTES = 4 * 1024 * 1024;

/**
 * Options of {@linkcode pullBraft}.
 *
 * @see {@linkcode pullBraft}
 */
export interface PullBraftOptions {
  /** Stops it. What has come stays, if it can be verified. */
  readonly signal?: AbortSignal;
  /** Holds what is asked for to a rate. */
  readonly throttle?: Throttle;
  /**
   * The longest time for which the node may be silent, in milliseconds; then the part is asked for again, three times.
   * 0 for no limit.
   *
   * @default {10000}
   */
  readonly timeout?: number;
}

/**
 * Copies a snapshot from a braft node: its leader while it has a follower install one, or {@linkcode serveBraft}. On
 * Node, Deno and Bun.
 *
 * If Snapstream wrote the snapshot, each chunk is verified before it is written, chunks that are here are not fetched,
 * and an interrupted copy resumes also after a restart. What braft wrote has no digests and no sizes: its files come
 * one after the other, are resumed where the connection breaks off, and are believed.
 *
 * @param uri `remote://HOST:PORT/ID`, as the leader says it in `install_snapshot`
 * @param storage takes in the snapshot
 * @param options the signal, the rate and the time limit
 * @returns the new snapshot
 * @throws {SnapshotError} `MALFORMED` if the address is none; `NOT_FOUND` if the node has no such reader;
 *   `UNAVAILABLE`, `TIMEOUT` if it does not answer; `CORRUPT` if it gives other bytes; `STALE`, `BUSY`, `NO_SPACE` …
 *   of the storage; `CANCELLED`
 *
 * @example See {@linkcode serveBraft}, or
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { pullBraft } from "@snapstream/snapstream/braft";
 *
 * const error = await pullBraft("http://127.0.0.1/1", new MemoryStorage()).result.catch((error) => error);
 * console.assert(error.code === "MALFORMED");
 * ```
 */
export function pullBraft(
  uri: string,
  storage: SnapshotStorage,
  options: PullBraftOptions = {},
): Operation<SnapshotInfo> {
  return new Operation<SnapshotInfo>(async (tracker) => {
    parseAddress(checkString(uri, "uri"));
    checkStorage(storage, "storage");
    const { signal, throttle, timeout = 10_000 } = checkOptions(options, {
      signal: checkSignal,
      throttle: checkThrottle,
      timeout: checkTimeout,
    });
    const client = new BraftClient(uri, limitOf(timeout), throttle);
    try {
      tracker.phase("manifest");
      const manifest = await client.manifest(signal);
      return await (manifest.verifiable ? install : copy)(client, manifest, storage, tracker, signal);
    } finally {
      client.close();
    }
  });
}

/** Copies what has digests: missing chunks only, each verified before it is written. */
async function install(
  client: BraftClient,
  manifest: SnapshotManifest,
  storage: SnapshotStorage,
  tracker: Tracker,
  signal: AbortSignal | undefined,
): Promise<SnapshotInfo> {
  const receiving = await storage.install(manifest);
  try {
    tracker.phase("prepare", manifest.size);
    await receiving.prepare({ signal, onReused: (bytes, chunks) => tracker.reuse(bytes, chunks) });
    tracker.phase("fetch");
    for (let [span] = receiving.missing(); span !== undefined; [span] = receiving.missing()) {
      await fetchSpan(client, receiving, span, tracker, signal);
    }
    tracker.phase("commit");
    return await receiving.commit();
  } finally {
    await receiving.close();
  }
}

/** Fetches the chunks of a span that are in the file of its first one. */
async function fetchSpan(
  client: BraftClient,
  receiving: SnapshotInstall,
  span: ChunkSpan,
  tracker: Tracker,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { file: { name, chunks }, chunk: first } = receiving.manifest.content.locate(span.first);
  const end = Math.min(first + span.end - span.first, chunks.count);
  const writes = new InFlight<void>(() => Math.max(Math.floor(WRITE_BYTES / chunks.length(first)), 1));
  let [chunk, buffer, filled] = [first, new Uint8Array(chunks.length(first)), 0];
  try {
    for await (const bytes of client.file(name, chunks.offset(first), chunks.offset(end), signal)) {
      for (let at = 0; at < bytes.length;) {
        const part = bytes.subarray(at, at + buffer.length - filled);
        buffer.set(part, filled);
        [filled, at] = [filled + part.length, at + part.length];
        if (filled < buffer.length) continue;
        const [number, whole] = [span.first + chunk++ - first, buffer];
        await writes.add(receiving.write(number, whole).then(() => tracker.add(whole.length, 1)));
        [buffer, filled] = [new Uint8Array(chunk < end ? chunks.length(chunk) : 0), 0];
      }
    }
    await writes.drain();
    await client.leave(signal, chunks.size);
  } finally {
    await writes.settled();
  }
}

/** Copies what braft wrote, file after file. */
async function copy(
  client: BraftClient,
  { meta, files }: SnapshotManifest,
  storage: SnapshotStorage,
  tracker: Tracker,
  signal: AbortSignal | undefined,
): Promise<SnapshotInfo> {
  const writer = await storage.create({ onBytes: (bytes) => tracker.add(bytes) });
  try {
    tracker.phase("fetch");
    for (const { name, ...info } of files) {
      const target = writer.file(name, attributesOf(copied(info))).getWriter();
      try {
        for await (const bytes of client.file(name, 0, undefined, signal)) await target.write(bytes);
        await target.close();
      } catch (error) {
        await target.abort(error).catch(() => {});
        throw error;
      }
    }
    tracker.phase("commit");
    return await writer.commit(meta);
  } catch (error) {
    await writer.abort(error);
    throw error;
  }
}
