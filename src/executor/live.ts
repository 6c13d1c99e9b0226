/**
 * Sending a snapshot straight from a running machine, without storing it here.
 *
 * @module
 */

import type { SnapshotMeta } from "../snapshot/mod.ts";
import { encryptedWriter, type EncryptionKey } from "../storage/mod.ts";
import { pause, raceAbort, type Tracker } from "../async/mod.ts";
import { type LivePushOptions, pushLive, type Source } from "../transfer/mod.ts";
import { follow } from "./follow.ts";
import type { CallBack, Prepared } from "./save.ts";

/** The time a cancelled task has to stop before its view is released, in milliseconds. */
const GRACE = 1000;

/** Options of `Replica.push`. */
export interface ReplicaPushOptions extends LivePushOptions {
  /** Encrypts what is sent, for a receiving storage that has the key: see {@linkcode encryptedWriter}. */
  readonly encryptionKey?: EncryptionKey;
}

/** The same, with the group of the snapshot. */
interface GroupedPushOptions extends ReplicaPushOptions {
  readonly group: string | undefined;
}

/**
 * Sends what a machine saves, and releases its view exactly once.
 *
 * @returns the meta of what was sent; nothing if there was nothing to save
 */
export async function sendLive(
  prepare: () => Promise<Prepared>,
  target: Source,
  options: GroupedPushOptions,
  tracker: Tracker,
  callBack: CallBack,
): Promise<SnapshotMeta | undefined> {
  const { encryptionKey, group, ...rest } = options;
  const { task, applied } = await prepared(prepare, options.signal, callBack);
  if (task === undefined) return undefined;
  let writing: Promise<void> | undefined;
  try {
    const meta = {
      lastIncludedIndex: applied.index,
      lastIncludedTerm: applied.term,
      ...applied.configuration,
      ...(group !== undefined && { group }),
    };
    await follow(
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
    return meta;
  } finally {
    // If the task still writes its streams have failed. It gets a moment to notice before its view is released.
    if (writing !== undefined) await pause(GRACE, undefined, writing.catch(() => {}));
    void callBack("release", () => task.release());
  }
}

/** Runs the synchronous part, and waits for it until the signal fires; a later task is released. */
async function prepared(
  prepare: () => Promise<Prepared>,
  signal: AbortSignal | undefined,
  callBack: CallBack,
): Promise<Prepared> {
  const preparing = prepare();
  try {
    return await raceAbort(preparing, signal);
  } catch (error) {
    preparing.then(({ task }) => task && void callBack("release", () => task.release()), () => {});
    throw error;
  }
}
