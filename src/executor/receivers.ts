/**
 * The sources of an install's snapshot.
 *
 * @module
 */

import type { Operation, Tracker } from "../async/mod.ts";
import { type SnapshotInfo, type SnapshotLimits, type SnapshotStorage, unarchive } from "../snapshot/mod.ts";
import type { PullOptions, Source } from "../transfer/mod.ts";
import { pullNewer } from "../transfer/client/mod.ts";
import type { Receiver } from "./options.ts";

/**
 * Options of `Replica.install`.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface InstallOptions extends Omit<PullOptions, "onManifest" | "onReceived" | "check"> {
  /** The index that the snapshot must have; of sources, the snapshot to pull. */
  readonly index?: bigint;
  /** The largest size of an archive. */
  readonly limits?: SnapshotLimits | undefined;
}

/** Receives an archive, as of a `PUT`. */
export function archiveReceiver(
  stream: ReadableStream<Uint8Array>,
  storage: SnapshotStorage,
  { index, verifier, limits }: InstallOptions,
): Receiver {
  return {
    index,
    saves: "beside, or instead",
    async receive(signal, tracker, _found, check, onReceived) {
      const options = { signal, index, verifier, limits, check, onReceived };
      return await follow(unarchive(stream, storage, options), tracker);
    },
  };
}

/** Pulls from servers. */
export function pullReceiver(
  sources: readonly Source[],
  storage: SnapshotStorage,
  { limits: _, ...options }: InstallOptions,
): Receiver {
  return {
    index: options.index,
    saves: "beside",
    async receive(signal, tracker, found, check, onReceived) {
      const onManifest = ({ index }: { readonly index: bigint }) => found(index);
      const all = { ...options, signal, onManifest, check, onReceived };
      return (await follow(pullNewer(storage, sources, all), tracker)).snapshot;
    },
  };
}

/** Takes a snapshot that another replica put into the storage. */
export function storedReceiver(snapshot: SnapshotInfo): Receiver {
  return { index: snapshot.meta.lastIncludedIndex, receive: () => Promise.resolve(snapshot) };
}

/** Cancels the stream of an archive that is not read, since it is here already or was refused. */
export function discard(stream: ReadableStream<Uint8Array>, reason?: unknown): void {
  if (!stream.locked) stream.cancel(reason).catch(() => {});
}

/** Waits for the result of an operation, and passes on its progress. */
export async function follow<T>(operation: Operation<T>, tracker: Tracker): Promise<T> {
  for await (const progress of operation) tracker.set(progress);
  return await operation;
}
