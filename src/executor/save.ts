/**
 * One save: the two parts, and everything given back whatever happens.
 *
 * @module
 */

import { throwIfCancelled } from "../errors.ts";
import type { SnapshotInfo, SnapshotStorage, SnapshotWriter } from "../snapshot/mod.ts";
import type { Applied, SaveTask } from "../state/mod.ts";
import { raceAbort, type Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";

/** What a save goes by. */
export interface SaveContext {
  /** Where to. */
  readonly storage: SnapshotStorage;
  /** Time, for the grace period. */
  readonly clock: Clock;
  /** Runs the synchronous part between two applies. */
  readonly prepare: () => Promise<Prepared>;
  /** Gives it up. */
  readonly signal: AbortSignal;
  /** Is told how far it is. */
  readonly tracker: Tracker;
  /** Is given what is still being put away when it has been given up; the next save waits for that. */
  readonly leave: (late: Promise<void>) => void;
  /** Calls back the machine; an error of that is reported, and does not reach the save. */
  readonly callBack: CallBack;
}

/** Calls back the machine about what has happened already. Never rejects: what it throws is reported, and changes nothing. */
export type CallBack = (
  what: "committed" | "release" | "reinitialize",
  callback: () => void | Promise<void>,
) => Promise<void>;

/** What the synchronous part gave. */
export interface Prepared {
  /** The asynchronous part; nothing if there is nothing to save. */
  readonly task: SaveTask | undefined;
  /** Of what. */
  readonly applied: Applied;
  /** Bytes of the log that it stands for. */
  readonly logBytes: number;
  /** Milliseconds. */
  readonly duration: number;
}

/** What a save gave. */
export interface Saved {
  /** The new snapshot; nothing if there was nothing to save. */
  readonly snapshot: SnapshotInfo | undefined;
  /** How many of its chunks are an earlier snapshot's. */
  readonly reusedChunks: number;
  /** Bytes of the log that it stands for. */
  readonly logBytes: number;
  /** The synchronous part, in milliseconds. */
  readonly syncDuration: number;
  /** The asynchronous part, in milliseconds. */
  readonly asyncDuration: number;
}

/** How long a task that was told to stop may take to do so before its view is taken away, in milliseconds. */
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
    await writer.abort(); // nothing, if it was committed
  }
}

/** Waits for something, but not longer than the signal allows; what comes later is put away. */
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

/** Runs the asynchronous part, commits what it wrote, and lets its view go exactly once. */
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
    // There is a snapshot from here on, whatever the machine makes of it: to say otherwise would have it taken again.
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
    // Its streams fail from here on. It gets a moment to see that, before what it reads is taken away.
    await writer.abort(error);
    await settledWithin(written, clock);
    throw error;
  }
}

/** Waits until a promise has settled, but not for ever. */
async function settledWithin(promise: Promise<unknown>, clock: Clock): Promise<void> {
  let cancel = () => {};
  const over = new Promise<void>((resolve) => cancel = clock.after(GRACE, resolve));
  await Promise.race([promise.catch(() => {}), over]);
  cancel();
}
