/**
 * Where the snapshot of an install comes from.
 *
 * @module
 */

import { type SnapshotInfo, type SnapshotStorage, unarchive } from "../snapshot/mod.ts";
import { pull, type PullOptions, type Source } from "../transfer/mod.ts";
import { follow } from "./follow.ts";
import type { Receiver } from "./options.ts";

/** Options of `Replica.install`. */
export interface InstallOptions extends Omit<PullOptions, "onManifest" | "check"> {
  /** The index that the snapshot must have; for sources, which one of theirs. */
  readonly index?: bigint;
}

/** An archive, as it comes from a `PUT`. */
export function archiveReceiver(
  stream: ReadableStream<Uint8Array>,
  storage: SnapshotStorage,
  { index, verifier }: InstallOptions,
): Receiver {
  return {
    index,
    async receive(signal, tracker, _found, check) {
      return await follow(unarchive(stream, storage, { signal, index, verifier, check }), tracker);
    },
  };
}

/** Servers to pull from. */
export function pullReceiver(
  sources: readonly Source[],
  storage: SnapshotStorage,
  options: InstallOptions,
): Receiver {
  return {
    index: options.index,
    async receive(signal, tracker, found, check) {
      const onManifest = ({ index }: { readonly index: bigint }) => found(index);
      return (await follow(pull(storage, sources, { ...options, signal, onManifest, check }), tracker)).snapshot;
    },
  };
}

/** A snapshot that somebody else put into the storage. */
export function storedReceiver(snapshot: SnapshotInfo): Receiver {
  return { index: snapshot.meta.lastIncludedIndex, receive: () => Promise.resolve(snapshot) };
}

/** Ends an archive that was not read, since it is here already or was refused. */
export function discard(stream: ReadableStream<Uint8Array>, reason?: unknown): void {
  if (!stream.locked) stream.cancel(reason).catch(() => {});
}
