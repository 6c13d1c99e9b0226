/**
 * One save: the synchronous part, the asynchronous one, and the release of everything after any outcome.
 *
 * @module
 */

import { throwIfCancelled } from "../errors.ts";
import type { SnapshotInfo, SnapshotStorage, SnapshotWriter } from "../snapshot/mod.ts";
import type { Applied, SaveTask } from "../state/mod.ts";
import { raceAbort, type Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";

/** The surroundings of a save. */
export interface SaveContext {
  /** The storage that the snapshot is written to. */
  readonly storage: SnapshotStorage;
  /** The clock, for the grace period. */
  readonly clock: Clock;
  /** Runs the synchronous part between two applies. */
  readonly prepare: () => Promise<Prepared>;
  /** Cancels it. */
  readonly signal: AbortSignal;
  /** Takes the progress. */
  readonly tracker: Tracker;
  /** Takes clean-up that still runs after the save was cancelled; the next save waits for it. */
  readonly leave: (late: Promise<void>) => void;
  /** Calls back the machine; an error of the callback is reported, and does not reach the save. */
  readonly callBack: CallBack;
}

/**
 * Calls back the machine about a past event. Never rejects: an error of the callback is reported, and changes nothing.
 */
export type CallBack = (
  what: "committed" | "release" | "reinitialize",
  callback: () => void | Promise<void>,
) => Promise<void>;

/** The result of the synchronous part. */
export interface Prepared {
  /** The asynchronous part; nothing if there is nothing to save. */
  readonly task: SaveTask | undefined;
  /** The last applied entry that the save includes. */
  readonly applied: Applied;
  /** Bytes of the log that it stands for. */
  readonly logBytes: number;
  /** Its length in milliseconds. */
  readonly duration: number;
}

/** The result of a save. */
export interface Saved {
  /** The new snapshot; nothing if there was nothing to save. */
  readonly snapshot: SnapshotInfo | undefined;
  /** The number of its chunks that are an earlier snapshot's. */
  readonly reusedChunks: number;
  /** Bytes of the log that it stands for. */
  readonly logBytes: number;
  /** The length of the synchronous part, in milliseconds. */
  readonly syncDuration: number;
  /** The length of the asynchronous part, in milliseconds. */
  readonly asyncDuration: number;
}

/** The time a cancelled task has to stop before its view is released, in milliseconds. */
const GRACE = 1000;

/** Takes a snapshot. After any failure nothing is left of it. */
export async function runSave(context: SaveContext): Promise<Saved> {
  const { storage, prepare, signal, tracker, leave } = context;
  throwIfCancelled(signal);
  let reusedChunks = 0;
  const created = storage.create({
    onBytes: (bytes) => tracker.add(bytes),
    onReused(bytes, chunks) {
      tracker.reuse(bytes, chunks);
      reusedChunks += chunks;
    },
  });
  const writer = await orPutAway(created, signal, leave, (writer) => writer.abort());
  try {
    const { task, applied, logBytes, duration } = await orPutAway(
      prepare(),
      signal,
      leave,
      ({ task }) => task && void context.callBack("release", () => task.release()),
    );
    const start = performance.now();
    const snapshot = task && await saveTask(task, applied, writer, context);
    return { snapshot, reusedChunks, logBytes, syncDuration: duration, asyncDuration: performance.now() - start };
  } finally {
    await writer.abort(); // does nothing if it was committed
  }
}

/** Waits for a promise until the signal fires; a later result is disposed of. */
async function orPutAway<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  leave: SaveContext["leave"],
  putAway: (late: T) => unknown,
): Promise<T> {
  try {
    return await raceAbort(promise, signal);
  } catch (error) {
    leave(promise.then(putAway).then(() => {}, () => {}));
    throw error;
  }
}

/** Runs the asynchronous part, commits what it wrote, and releases its view exactly once. */
async function saveTask(
  task: SaveTask,
  { index, term, configuration }: Applied,
  writer: SnapshotWriter,
  context: SaveContext,
): Promise<SnapshotInfo> {
  const { signal, tracker } = context;
  try {
    throwIfCancelled(signal);
    tracker.phase("save");
    await write(task, writer, context);
    throwIfCancelled(signal);
    tracker.phase("commit");
    const snapshot = await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: term, ...configuration });
    // The snapshot exists from here on, even if the callback fails: a failure now would have it taken again.
    void context.callBack("committed", () => task.committed?.(snapshot));
    return snapshot;
  } finally {
    void context.callBack("release", () => task.release());
  }
}

async function write(task: SaveTask, writer: SnapshotWriter, { signal, clock }: SaveContext): Promise<void> {
  const written = (async () => await task.write(writer, signal))();
  try {
    await raceAbort(written, signal);
  } catch (error) {
    // The task's streams fail from here on. It gets a moment to notice before its view is released.
    await writer.abort(error);
    await settledWithin(written, clock);
    throw error;
  }
}

/** Waits until a promise has settled, for the grace period at most. */
async function settledWithin(promise: Promise<unknown>, clock: Clock): Promise<void> {
  let cancel = () => {};
  const over = new Promise<void>((resolve) => cancel = clock.after(GRACE, resolve));
  await Promise.race([promise.catch(() => {}), over]);
  cancel();
}
