/**
 * Sending a snapshot straight from a running machine: nothing of it is kept here.
 *
 * @module
 */

import type { SnapshotMeta } from "../snapshot/mod.ts";
import { encryptedWriter, type EncryptionKey } from "../storage/mod.ts";
import type { Tracker } from "../stream/mod.ts";
import { type LivePushOptions, pushLive, type Source } from "../transfer/mod.ts";
import { follow } from "./follow.ts";
import type { Prepared } from "./save.ts";

/** Options of `Replica.push`. */
export interface ReplicaPushOptions extends LivePushOptions {
  /** Encrypts what is sent, for a storage there that has the key: see {@linkcode encryptedWriter}. */
  readonly encryptionKey?: EncryptionKey;
}

/**
 * Sends what a machine saves, and lets its view go exactly once.
 *
 * @returns what was sent; nothing if there was nothing to save
 */
export async function sendLive(
  prepare: () => Promise<Prepared>,
  target: Source,
  options: ReplicaPushOptions,
  tracker: Tracker,
): Promise<SnapshotMeta | undefined> {
  const { encryptionKey, ...rest } = options;
  const { task, applied } = await prepare();
  if (task === undefined) return undefined;
  try {
    const meta = { lastIncludedIndex: applied.index, lastIncludedTerm: applied.term, ...applied.configuration };
    await follow(
      pushLive(
        meta,
        (writer, signal) =>
          task.write(encryptionKey === undefined ? writer : encryptedWriter(writer, encryptionKey), signal),
        target,
        rest,
      ),
      tracker,
    );
    return meta;
  } finally {
    task.release();
  }
}
