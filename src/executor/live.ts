/**
 * Sending a snapshot straight from a running machine, without storing it here.
 *
 * @module
 */

import type { SnapshotMeta } from "../snapshot/mod.ts";
import { encryptedWriter, type EncryptionKey } from "../storage/mod.ts";
import { pause, type Tracker } from "../async/mod.ts";
import { withJson } from "../stream/mod.ts";
import { type LivePushOptions, pushLive, type Source } from "../transfer/mod.ts";
import { follow } from "./receivers.ts";
import type { FsmCaller } from "./fsm_caller.ts";

/** The time a cancelled task has to stop before its view is released, in milliseconds. */
const GRACE = 1000;

/**
 * Options of `Replica.push`.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface ReplicaPushOptions extends LivePushOptions {
  /** Encrypts what is sent, for a receiving storage that has the key: see {@linkcode encryptedWriter}. */
  readonly encryptionKey?: EncryptionKey;
}

/** The same, with the group of the snapshot; the signal is there in any case. */
interface GroupedPushOptions extends ReplicaPushOptions {
  readonly group: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Sends what a machine saves, and releases its view exactly once.
 *
 * @returns the meta of what was sent; nothing if there was nothing to save, or the other side is as new
 */
export async function sendLive(
  fsm: FsmCaller,
  target: Source,
  options: GroupedPushOptions,
  tracker: Tracker,
): Promise<SnapshotMeta | undefined> {
  const { encryptionKey, group, ...rest } = options;
  const { task, saved, takenAt } = await fsm.prepare(options.signal);
  if (task === undefined) return undefined;
  let writing: Promise<void> | undefined;
  try {
    const meta = {
      lastIncludedIndex: saved.index,
      lastIncludedTerm: saved.term,
      ...saved.configuration,
      createdAt: takenAt,
      ...(group !== undefined && { group }),
    };
    const { upToDate } = await follow(
      pushLive(
        meta,
        (writer, signal) => {
          const files = encryptionKey === undefined ? writer : encryptedWriter(writer, encryptionKey);
          return writing = (async () => await task.write(files, signal))();
        },
        target,
        rest,
      ),
      tracker,
    );
    return upToDate ? undefined : withJson(meta);
  } finally {
    // If the task still writes its streams have failed. It gets a moment to notice before its view is released.
    if (writing !== undefined) await pause(GRACE, undefined, writing.catch(() => {}));
    fsm.release(task);
  }
}
