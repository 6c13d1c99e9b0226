/**
 * One save: the synchronous part, the asynchronous one, and the release of everything after any outcome.
 *
 * @module
 */

import { hasCode, throwIfCancelled } from "../errors.ts";
import { type CreateOptions, type SnapshotInfo, type SnapshotWriter, stale } from "../snapshot/mod.ts";
import type { Applied, SaveTask } from "../state/mod.ts";
import { raceAbort, type Tracker } from "../async/mod.ts";
import { withJson } from "../stream/mod.ts";
import { isShared } from "./any_log.ts";
import type { Clock } from "./clock.ts";
import type { SaveResult } from "./events.ts";
import type { SnapshotEvidence } from "./evidence.ts";
import type { ExecutorContext } from "./options.ts";

/** The time a cancelled task has to stop before its view is released, in milliseconds. */
const GRACE = 1000;

/** Saves the state of the machine, one save at a time. */
export class Saver {
  readonly #context: ExecutorContext;
  readonly #evidence: SnapshotEvidence;
  readonly #clock: Clock;
  readonly #makeRoom: () => Promise<boolean>;
  /** The bytes that had been applied when the state was saved last, as `FsmCaller.appliedBytes`. */
  savedBytes = 0;
  /** The last entry that was applied when the machine had nothing to save, or saved an earlier state. */
  emptyIndex = 0n;
  /** The clean-up that a cancelled save has left. */
  #leaving: Promise<void> = Promise.resolve();

  /**
   * @param context machine, storage and log
   * @param evidence the evidence about the snapshots there
   * @param clock time
   * @param makeRoom ends what has the storage's one writer, if that may be ended; gives whether it was
   */
  constructor(
    context: ExecutorContext,
    evidence: SnapshotEvidence,
    clock: Clock,
    makeRoom: () => Promise<boolean> = () => Promise.resolve(false),
  ) {
    this.#context = context;
    this.#evidence = evidence;
    this.#clock = clock;
    this.#makeRoom = makeRoom;
  }

  /**
   * Takes a snapshot. After any failure nothing is left of it.
   *
   * @param createdAt the time that its meta gets; by default that of the synchronous part
   */
  async run(signal: AbortSignal, tracker: Tracker, createdAt: number | undefined): Promise<SaveResult> {
    const { fsm } = this.#context;
    const [top] = await this.#evidence.refresh(signal);
    const { index: now } = fsm.applied;
    // A snapshot that is there but does not count is in the way: the commit would fail after everything was written.
    if (top !== undefined && top.meta.lastIncludedIndex >= now) throw stale(now, top.meta.lastIncludedIndex);
    await raceAbort(this.#leaving, signal); // else the storage would be busy with it
    let reusedChunks = 0;
    const writer = await this.#create(signal, tracker, (chunks) => reusedChunks += chunks);
    try {
      const { task, applied, saved, takenAt, appliedBytes, duration } = await fsm.prepare(
        signal,
        () => this.#clock.now(),
      );
      const start = performance.now();
      // A machine that lags behind what was applied may have nothing that the newest snapshot does not have.
      const isNew = saved.index === applied.index || saved.index > (top?.meta.lastIncludedIndex ?? 0n);
      if (!isNew) fsm.release(task!);
      const snapshot = isNew && task !== undefined
        ? await this.#save(task, saved, createdAt ?? takenAt, writer, signal, tracker)
        : undefined;
      const asyncDuration = performance.now() - start;
      this.savedBytes = appliedBytes;
      if (snapshot === undefined || saved.index < applied.index) this.emptyIndex = applied.index;
      if (snapshot === undefined) return notTaken(this.#evidence.counted.newest, duration);
      const { bytes, reused } = tracker.progress;
      const figures = { bytes: bytes - reused, chunks: snapshot.chunks - reusedChunks, reused };
      return withJson({ taken: true, snapshot, syncDuration: duration, asyncDuration, ...figures });
    } finally {
      await writer.abort(); // does nothing if it was committed
    }
  }

  /**
   * Takes another snapshot instead, which is there already: of another replica that shares the storage, and was faster;
   * or of this very state, and was restored from the quarantine. It does as well, if it could be loaded here too.
   */
  async adopt(signal: AbortSignal): Promise<SnapshotInfo | undefined> {
    const { fsm, log } = this.#context;
    const [snapshot] = await this.#evidence.refresh(signal);
    if (snapshot === undefined || snapshot.meta.lastIncludedIndex <= this.#evidence.counted.index) return undefined;
    const { index, term } = fsm.applied;
    const { lastIncludedIndex, lastIncludedTerm } = snapshot.meta;
    const isOfState = lastIncludedIndex === index && lastIncludedTerm === term;
    if (!isShared(log) && !isOfState) return undefined;
    return await this.#evidence.prove(snapshot, signal) ? snapshot : undefined;
  }

  /** Makes a writer. One that comes after the save was cancelled is aborted, and the next save waits for that. */
  async #create(signal: AbortSignal, tracker: Tracker, onReused: (chunks: number) => void): Promise<SnapshotWriter> {
    throwIfCancelled(signal);
    const { storage } = this.#context;
    const options: CreateOptions = {
      onBytes: (bytes) => tracker.add(bytes),
      onReused(bytes, chunks) {
        tracker.reuse(bytes, chunks);
        onReused(chunks);
      },
    };
    const creating = storage.create(options).catch(async (error) => {
      if (!hasCode(error, "BUSY") || !await this.#makeRoom()) throw error;
      return await storage.create(options);
    });
    try {
      return await raceAbort(creating, signal);
    } catch (error) {
      this.#leaving = creating.then((writer) => writer.abort()).catch(() => {});
      throw error;
    }
  }

  /** Runs the asynchronous part, commits what it wrote, and releases its view exactly once. */
  async #save(
    task: SaveTask,
    { index, term, configuration }: Applied,
    createdAt: number,
    writer: SnapshotWriter,
    signal: AbortSignal,
    tracker: Tracker,
  ): Promise<SnapshotInfo> {
    const { fsm } = this.#context;
    try {
      throwIfCancelled(signal);
      tracker.phase("save");
      await this.#write(task, writer, signal);
      throwIfCancelled(signal);
      tracker.phase("commit");
      const snapshot = await writer.commit({
        lastIncludedIndex: index,
        lastIncludedTerm: term,
        ...configuration,
        createdAt,
      });
      // The snapshot exists from here on, even if the callback fails: a failure now would have it taken again.
      void fsm.callBack("committed", () => task.committed?.(snapshot));
      return snapshot;
    } finally {
      fsm.release(task);
    }
  }

  async #write(task: SaveTask, writer: SnapshotWriter, signal: AbortSignal): Promise<void> {
    const written = (async () => await task.write(writer, signal))();
    try {
      await raceAbort(written, signal);
    } catch (error) {
      // The task's streams fail from here on. It gets a moment to notice before its view is released.
      await writer.abort(error);
      await settledWithin(written, this.#clock);
      throw error;
    }
  }
}

/** The result if nothing was taken: nothing is there to save, or a snapshot has it already. */
export function notTaken(snapshot: SnapshotInfo | undefined, syncDuration = 0): SaveResult {
  const nothing = { taken: false, syncDuration, asyncDuration: 0, bytes: 0, chunks: 0, reused: 0 };
  return withJson({ ...nothing, ...(snapshot !== undefined && { snapshot }) });
}

/** Waits until a promise has settled, for the grace period at most. */
async function settledWithin(promise: Promise<unknown>, clock: Clock): Promise<void> {
  let cancel = () => {};
  const over = new Promise<void>((resolve) => cancel = clock.after(GRACE, resolve));
  await Promise.race([promise.catch(() => {}), over]);
  cancel();
}
