/**
 * The order of things: one save or install at a time, retention, then purge. braft's `SnapshotExecutor` with its
 * holes closed: nothing runs without a time limit, a failure is retried, a save can be cancelled.
 *
 * @module
 */

import { able, checkFunction, checkOptions, checkSignal, limitOf } from "../checks.ts";
import { hasCode, throwIfCancelled } from "../errors.ts";
import type { SnapshotInfo } from "../snapshot/mod.ts";
import { type FailingTask, onEnd, Operation, type Progress, raceAbort, type Tracker } from "../async/mod.ts";
import { listenerOf } from "../stream/mod.ts";
import { checkContext, checkSnapshotOptions, executorChecks } from "./checks.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { UnusableSnapshot } from "./counted.ts";
import type { ExecutorEvent, ExecutorFailure, ExecutorMetrics, ExecutorState, SaveResult } from "./events.ts";
import { SnapshotEvidence } from "./evidence.ts";
import { ExecutorFailures } from "./failures.ts";
import { closed } from "./fsm_caller.ts";
import { follow } from "./receivers.ts";
import { Installer } from "./install.ts";
import { purgeLog } from "./log_purge.ts";
import { NOTHING_YET, withSave } from "./metrics.ts";
import { OneAtATime, type Running } from "./one_at_a_time.ts";
import type { ExecutorContext, ExecutorOptions, Receiver, SnapshotOptions } from "./options.ts";
import { DiskBased } from "./disk_based.ts";
import { notTaken, Saver } from "./save.ts";
import { SAFE_INDEX_TIMEOUT } from "./purge.ts";
import { Triggers, type TriggerState } from "./triggers.ts";
import { watchWork } from "./watch.ts";

/** Takes snapshots, installs snapshots, and drops the log behind them. */
export class SnapshotExecutor {
  readonly #context: ExecutorContext;
  readonly #options: ExecutorOptions;
  readonly #clock: Clock;
  readonly #triggers: Triggers;
  readonly #runs: OneAtATime;
  readonly #evidence: SnapshotEvidence;
  readonly #saver: Saver;
  readonly #disk: DiskBased;
  readonly #installer: Installer;
  readonly #onEvent: (event: ExecutorEvent) => void;
  readonly #closing = new AbortController();
  readonly #failures: ExecutorFailures;
  #metrics: ExecutorMetrics = NOTHING_YET;
  #purging: Promise<void> = Promise.resolve();
  /** True if the log was full, or a purge has failed: one is to be retried. */
  #isRoomWanted = false;
  /** True if the log was full: see {@linkcode purgeLog}. */
  #isFull = false;
  #isPurging = false;
  /** The save that is running. */
  #saving: Operation<SaveResult> | undefined;
  #closed: Promise<void> | undefined;

  /**
   * Makes an executor, and starts its timer.
   *
   * @param context what it works with
   * @param options see {@linkcode ExecutorOptions}
   */
  constructor(context: ExecutorContext, options: ExecutorOptions = {}) {
    checkContext(context);
    checkOptions(options, executorChecks());
    const { fsm, storage } = context;
    this.#context = context;
    this.#options = options;
    this.#clock = options.clock ?? systemClock();
    this.#onEvent = listenerOf(options.onEvent); // its mistake must not stop a save
    this.#runs = new OneAtATime(this.#onEvent, () => this.#triggers.applied(this.#triggerState()));
    this.#failures = new ExecutorFailures(context, this.#clock, this.#onEvent);
    this.#evidence = new SnapshotEvidence(context, this.#onEvent, (index) => this.#onLost(index));
    this.#saver = new Saver(context, this.#evidence, this.#clock, () => this.#runs.makeRoom());
    this.#disk = new DiskBased(context, this.#clock, limitOf(options.purge?.safeIndexTimeout ?? SAFE_INDEX_TIMEOUT));
    this.#installer = new Installer(
      context,
      this.#evidence,
      (stop, tracker) => watchWork("install", stop, tracker, this.#clock, options),
      (run) => this.#runs.exclude(run, options.whileSaving === "cancel"),
      () => this.#runs.enter("loading"),
    );
    this.#triggers = new Triggers(options.triggers ?? {}, options.retry ?? {}, this.#clock, () => this.#whenDue());
    fsm.listen({
      applied: () => this.#triggers.applied(this.#triggerState()),
      loaded: ({ group }) => {
        this.#saver.savedBytes = fsm.appliedBytes;
        if (group !== undefined) storage.bindGroup(group); // the first that came has said it
      },
      callbackFailed: (callback, error) => this.#onEvent({ type: "callbackFailed", callback, error }),
    });
    this.#triggers.start();
  }

  /** The state of the executor. */
  get state(): ExecutorState {
    return this.#runs.state;
  }

  /** How far the running save, push or install is. */
  get progress(): Progress | undefined {
    return this.#runs.progress;
  }

  /** Counts. */
  get metrics(): ExecutorMetrics {
    return this.#metrics;
  }

  /** The failure of a save, an install or a purge that was the last one, whatever has succeeded since. */
  get lastFailure(): ExecutorFailure | undefined {
    return this.#failures.last;
  }

  /** What failed the last time, and how many times in a row; with the background tasks of storage and log. */
  get failing(): readonly FailingTask[] {
    return this.#failures.failing;
  }

  /** The newest snapshot that counts: saved or loaded here, or tried, and not found bad since. */
  get newest(): SnapshotInfo | undefined {
    return this.#evidence.counted.newest;
  }

  /** Snapshots in the storage that could not be used, newest first. */
  get unusable(): readonly UnusableSnapshot[] {
    return this.#evidence.counted.unusable;
  }

  /**
   * Takes a snapshot, or joins the save that is running.
   *
   * @param options the gap, the signal, and what happens while a save is running
   * @returns the save; fails with `BUSY` while one is being loaded or sent, `TIMEOUT` if it takes too long or
   *   stalls, `CLOSED`, and with what the machine or the storage fails with
   */
  snapshot(options: SnapshotOptions = {}): Operation<SaveResult> {
    const { gap = this.#triggers.gap, signal, whileSaving = "join", createdAt } = checkSnapshotOptions(options);
    const saving = whileSaving === "join" && this.#runs.isSaving ? this.#saving : undefined;
    if (saving !== undefined) return this.#join(saving, options);
    const { refusal } = this.#runs;
    if (refusal !== undefined) return new Operation(() => Promise.reject(refusal));
    const { index: applied } = this.#context.fsm.applied;
    if (applied - this.#evidence.counted.index < Math.max(gap, 1) || applied === this.#saver.emptyIndex) {
      return new Operation(async () => {
        throwIfCancelled(signal);
        const { index } = this.#evidence.counted;
        // In a storage that others use too, they may have quarantined it.
        await this.#evidence.refresh().catch(() => {});
        if (this.#evidence.counted.index < index) this.#whenDue();
        return notTaken(this.newest);
      });
    }
    return this.#startSave(signal, createdAt);
  }

  #join(saving: Operation<SaveResult>, options: SnapshotOptions): Operation<SaveResult> {
    return new Operation(async (tracker) => {
      try {
        return await raceAbort(follow(saving, tracker), options.signal);
      } catch (error) {
        if (!hasCode(error, "CANCELLED") || options.signal?.aborted) throw error;
      }
      return await follow(this.snapshot(options), tracker); // whoever began that save has cancelled it
    });
  }

  /**
   * Installs a snapshot: receives it, and only when it is durable and verified replaces the machine's state.
   *
   * While a save is running it waits, or cancels it. While a snapshot with the same index is being received it joins
   * that one; a lower one is `STALE`; a higher one takes over.
   *
   * @param receiver receives the snapshot into the storage
   * @param signal cancels it, until loading begins
   * @returns the install; fails with `STALE` if the state here is as new, `CLOSED`, and with what the receiver, the
   *   storage or the machine fails with
   */
  install(receiver: Receiver, signal?: AbortSignal): Operation<SnapshotInfo> {
    able("a Receiver", "receive")(receiver, "receiver");
    if (signal !== undefined) checkSignal(signal, "signal");
    return this.#runs.install(
      receiver,
      signal,
      this.#options.whileSaving === "cancel",
      (index) => this.#installer.checkNewer(index),
      (running, tracker) => this.#install(receiver, running, tracker),
    );
  }

  /** Drops what need not be kept of the log. Done after each snapshot by itself. */
  purge(): Promise<void> {
    return this.#purging = this.#purging.then(async () => {
      const isFull = this.#isFull;
      this.#isRoomWanted = this.#isFull = false;
      this.#isPurging = true;
      try {
        await this.#purge(isFull);
        this.#failures.succeeded("purge");
      } catch (error) {
        this.#failures.failed("purge", error);
        this.#onEvent({ type: "purgeFailed", error });
        if (this.#closed === undefined) this.#failures.count("purge", error);
        this.#isRoomWanted = true;
        this.#isFull ||= isFull;
        if (this.#closed === undefined) this.#triggers.failed();
      } finally {
        this.#isPurging = false;
      }
    });
  }

  /**
   * Makes the newest snapshot one that can be sent: the log leads on from it, and does so for a while
   * ({@linkcode PurgeOptions.safeIndexTimeout}). Of a disk-based machine, which nothing else saves, one is taken if
   * there is none; any other machine's log leads on from its newest snapshot in any case.
   *
   * @throws as {@linkcode snapshot}, if one has to be taken
   */
  async sendable(): Promise<void> {
    if (!this.#disk.isActive || this.#closed !== undefined) return;
    const [newest] = await this.#evidence.refresh();
    if (newest !== undefined && this.#disk.leadsOn(newest)) return this.#disk.wanted(newest);
    await this.snapshot({ gap: 1 });
  }

  /** Takes a last snapshot if it is told to, cancels what is running, and stops. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      const { onClose } = this.#triggers;
      this.#triggers.stop();
      this.#closing.abort(closed("executor"));
      await this.#runs.close(onClose);
      if (onClose && !this.#disk.isActive && this.#isBehind()) {
        // An event said so; the log has what it would have held.
        await this.#startSave(undefined).result.catch(() => {});
      }
      await this.#purging;
      this.#evidence.close();
      this.#runs.enter("closed");
    })();
  }

  /** The log has no room: a snapshot, or a purge that failed before, may give some. */
  roomWanted(): void {
    this.#isRoomWanted = this.#isFull = true;
    this.#triggers.wanted();
  }

  /**
   * Uses what the machine saves, as it is now, for something else than a snapshot in the storage.
   *
   * @param signal cancels it
   * @param use does it, by `FsmCaller.prepare`
   * @returns what that gives; fails with `BUSY` while something is running, `TIMEOUT` if it takes too long or stalls
   */
  live<T>(
    signal: AbortSignal | undefined,
    use: (signal: AbortSignal, tracker: Tracker) => Promise<T>,
  ): Operation<T> {
    if (signal !== undefined) checkSignal(signal, "signal");
    checkFunction(use, "use");
    const { refusal } = this.#runs;
    if (refusal !== undefined) return new Operation(() => Promise.reject(refusal));
    return this.#runs.start(
      "push",
      signal,
      (stop, tracker) => this.#watched(stop, tracker, () => use(stop.signal, tracker)),
    );
  }

  #isBehind(): boolean {
    return this.#context.fsm.applied.index > this.#savedIndex;
  }

  /** The last entry of the newest snapshot, or of a later state that had nothing to save; or the last on the disk. */
  get #savedIndex(): bigint {
    if (this.#disk.isActive) return this.#disk.flushedIndex;
    const { emptyIndex } = this.#saver;
    const { index } = this.#evidence.counted;
    return index > emptyIndex ? index : emptyIndex;
  }

  #triggerState(): TriggerState {
    const { fsm } = this.#context;
    return {
      appliedIndex: fsm.applied.index,
      snapshotIndex: this.#savedIndex,
      snapshotBytes: this.newest?.size ?? 0,
      logBytes: fsm.appliedBytes - this.#saver.savedBytes,
    };
  }

  /** A snapshot was found bad: another one is due, and a copy of it welcome. */
  #onLost(index: bigint): void {
    this.#installer.lost(index);
    if (this.#evidence.counted.isLost(index)) queueMicrotask(() => this.#whenDue());
  }

  #whenDue(): void {
    if (this.#runs.refusal !== undefined) return;
    const isBehind = this.#isBehind();
    if (isBehind && !this.#disk.isActive) {
      this.snapshot({ gap: 1 }).result.catch(() => {}); // the trigger has said how many; a failure is an event
    } else if ((isBehind || this.#isRoomWanted) && !this.#isPurging) void this.purge();
  }

  #startSave(signal: AbortSignal | undefined, createdAt?: number): Operation<SaveResult> {
    const save = this.#saving = this.#runs.start(
      "save",
      signal,
      (stop, tracker) => this.#watched(stop, tracker, () => this.#save(stop.signal, tracker, createdAt)),
    );
    onEnd(save, () => {
      if (this.#saving === save) this.#saving = undefined;
    });
    return save;
  }

  /** Does what a save does, within its time limits. */
  async #watched<T>(stop: AbortController, tracker: Tracker, work: () => Promise<T>): Promise<T> {
    this.#runs.enter("saving");
    const unwatch = watchWork("save", stop, tracker, this.#clock, this.#options);
    try {
      return await work();
    } finally {
      unwatch();
    }
  }

  async #save(signal: AbortSignal, tracker: Tracker, createdAt: number | undefined): Promise<SaveResult> {
    try {
      const result = await this.#saver.run(signal, tracker, createdAt);
      this.#triggers.succeeded();
      this.#failures.succeeded("save");
      if (result.taken) {
        this.#evidence.counted.add(result.snapshot!);
        this.#metrics = withSave(this.#metrics, result);
        this.#onEvent({ type: "saved", result });
        this.#disk.wanted(result.snapshot!); // before the purge, which would go beyond it
        await this.purge();
      } else this.#onEvent({ type: "nothingToSave", index: this.#saver.emptyIndex });
      return result;
    } catch (error) {
      const adopted = hasCode(error, "STALE") ? await this.#saver.adopt(signal) : undefined;
      if (adopted !== undefined) {
        this.#triggers.succeeded();
        this.#failures.succeeded("save");
        await this.purge();
        return notTaken(adopted);
      }
      this.#metrics = { ...this.#metrics, saveFailures: this.#metrics.saveFailures + 1 };
      this.#failures.failed("save", error);
      this.#onEvent({ type: "saveFailed", error });
      // A cancelled save, or one that `close` ended, is not retried.
      if (this.#closed === undefined && !hasCode(error, "CANCELLED", "CLOSED")) {
        this.#failures.count("save", error);
        this.#triggers.failed();
      }
      throw error;
    }
  }

  async #install(receiver: Receiver, running: Running, tracker: Tracker): Promise<SnapshotInfo> {
    this.#runs.enter("receiving");
    try {
      const snapshot = await this.#installer.run(running, receiver, tracker);
      this.#metrics = { ...this.#metrics, installs: this.#metrics.installs + 1 };
      this.#onEvent({ type: "installed", snapshot });
      await this.purge();
      return snapshot;
    } catch (error) {
      this.#metrics = { ...this.#metrics, installFailures: this.#metrics.installFailures + 1 };
      this.#failures.failed("install", error);
      this.#onEvent({ type: "installFailed", error, index: running.index });
      throw error;
    }
  }

  async #purge(isFull: boolean): Promise<void> {
    const { purge = {} } = this.#options;
    const disk = this.#disk.isActive
      ? await this.#disk.flush((appliedBytes) => this.#saver.savedBytes = appliedBytes)
      : undefined;
    if (disk !== undefined) this.#triggers.succeeded();
    const { signal } = this.#closing;
    const purged = await purgeLog(this.#context, this.#evidence, this.#clock, purge, isFull, disk, signal);
    if (purged === undefined) return;
    const { index, entries } = purged;
    this.#metrics = { ...this.#metrics, purgedEntries: this.#metrics.purgedEntries + entries };
    this.#onEvent({ type: "purged", index });
  }
}
