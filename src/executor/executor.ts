/**
 * When, and in what order: one save or install at a time, retention, then purge. braft's `SnapshotExecutor` with its
 * holes closed: nothing runs without a time limit, a failure is tried again, a save can be given up.
 *
 * @module
 */

import { able, checkFunction, checkInteger, checkOptions, checkSignal } from "../checks.ts";
import { cancelled, hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type SnapshotInfo, type SnapshotMeta, stale } from "../snapshot/mod.ts";
import { neverThrowing, Operation, raceAbort, type Tracker } from "../async/mod.ts";
import { checkContext, checkSnapshotOptions, checkTask, executorChecks } from "./checks.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { UnusableSnapshot } from "./counted.ts";
import type { ExecutorEvent, ExecutorMetrics, ExecutorState, SaveResult } from "./events.ts";
import { SnapshotEvidence } from "./evidence.ts";
import { Installer } from "./install.ts";
import { purgeLog } from "./log_purge.ts";
import type { ExecutorContext, ExecutorOptions, Receiver, SnapshotOptions } from "./options.ts";
import { type CallBack, type Prepared, runSave } from "./save.ts";
import { Triggers } from "./triggers.ts";
import { watchWork } from "./watch.ts";

/** A save, a live push or an install that is running. */
interface Running {
  readonly kind: "save" | "push" | "install";
  readonly stop: AbortController;
  readonly operation: () => Operation<unknown>;
  index: bigint | undefined;
}

/** The words for a running operation, for messages. */
const DOING = { save: "taken", push: "sent", install: "installed" } as const;

/** Takes snapshots, installs snapshots, and drops the log behind them. */
export class SnapshotExecutor {
  readonly #context: ExecutorContext;
  readonly #options: ExecutorOptions;
  readonly #clock: Clock;
  readonly #triggers: Triggers;
  #state: ExecutorState = "idle";
  #running: Running | undefined;
  readonly #evidence: SnapshotEvidence;
  readonly #installer: Installer;
  readonly #onEvent: (event: ExecutorEvent) => void;
  readonly #closing = new AbortController();
  /** Bytes of what was applied since that. */
  #logBytes = 0;
  #metrics: ExecutorMetrics = { saves: 0, saveFailures: 0, installs: 0, installFailures: 0, purgedEntries: 0n };
  #purging: Promise<void> = Promise.resolve();
  /** The log was full, or a purge has failed: one is to be tried again. */
  #isRoomWanted = false;
  #isPurging = false;
  /** The clean-up that cancelled saves have left. */
  #leaving: Promise<void> = Promise.resolve();
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
    const loaded = (meta: SnapshotMeta) => {
      this.#logBytes = 0;
      context.loaded(meta);
    };
    this.#context = { ...context, loaded };
    this.#options = options;
    this.#clock = options.clock ?? systemClock();
    this.#onEvent = neverThrowing(options.onEvent ?? (() => {})); // a listener's mistake must not stop a save
    this.#evidence = new SnapshotEvidence(this.#context, this.#onEvent, (index) => this.#onLost(index));
    const onLoading = () => this.#setState("loading");
    this.#installer = new Installer(this.#context, this.#evidence, options, this.#clock, this.#callBack, onLoading);
    this.#triggers = new Triggers(options.triggers ?? {}, options.retry ?? {}, this.#clock, () => this.#whenDue());
    this.#triggers.start();
  }

  /** The state of the executor. */
  get state(): ExecutorState {
    return this.#state;
  }

  /** Counts. */
  get metrics(): ExecutorMetrics {
    return this.#metrics;
  }

  /** The newest snapshot that counts: saved or loaded here, or tried, and not found bad since. */
  get newest(): SnapshotInfo | undefined {
    return this.#evidence.counted.newest;
  }

  /** Snapshots in the storage that could not be used, newest first. */
  get unusable(): readonly UnusableSnapshot[] {
    return this.#evidence.counted.unusable;
  }

  /** Entries were applied: takes a snapshot if that makes one due. */
  applied(bytes: number): void {
    checkInteger(bytes, "bytes");
    this.#logBytes += bytes;
    this.#triggers.applied({
      appliedIndex: this.#context.applied().index,
      snapshotIndex: this.#evidence.counted.index,
      snapshotBytes: this.#evidence.counted.newest?.size ?? 0,
      logBytes: this.#logBytes,
    });
  }

  /**
   * Takes a snapshot.
   *
   * @param options the gap, and the signal
   * @returns the save; fails with `BUSY` while one is running or being installed, `TIMEOUT` if it takes too long or
   *   stalls, `CLOSED`, and with what the machine or the storage fails with
   */
  snapshot(options: SnapshotOptions = {}): Operation<SaveResult> {
    const { gap = 1, signal } = checkSnapshotOptions(options);
    const refusal = this.#closed !== undefined ? closed() : this.#running !== undefined ? this.#busy() : undefined;
    if (refusal !== undefined) return new Operation(() => Promise.reject(refusal));
    if (this.#context.applied().index - this.#evidence.counted.index < Math.max(gap, 1)) {
      return new Operation(async () => {
        const { index } = this.#evidence.counted;
        await this.#evidence.refresh().catch(() => {}); // in a storage that others use too, they may have quarantined it
        if (this.#evidence.counted.index < index) this.#whenDue();
        return notTaken(this.newest);
      });
    }
    return this.#startSave(signal);
  }

  /**
   * Installs a snapshot: receives it, and only when it is durable and verified replaces the machine's state.
   *
   * While a save is running it waits, or cancels it. While a snapshot with the same index is being received it joins
   * that one; a lower one is `STALE`; a higher one takes over.
   *
   * @param receiver receives the snapshot into the storage
   * @param signal gives it up, until loading begins
   * @returns the install; fails with `STALE` if the state here is as new, `CLOSED`, and with what the receiver, the
   *   storage or the machine fails with
   */
  install(receiver: Receiver, signal?: AbortSignal): Operation<SnapshotInfo> {
    able("a Receiver", "receive")(receiver, "receiver");
    if (signal !== undefined) checkSignal(signal, "signal");
    const operation: Operation<SnapshotInfo> = new Operation((tracker) =>
      this.#installWhenFree(receiver, signal, tracker, () => operation)
    );
    return operation;
  }

  /** Drops what need not be kept of the log. Done after each snapshot by itself. */
  purge(): Promise<void> {
    return this.#purging = this.#purging.then(async () => {
      this.#isRoomWanted = false;
      this.#isPurging = true;
      try {
        await this.#purge();
      } catch (error) {
        this.#onEvent({ type: "purgeFailed", error });
        this.#isRoomWanted = true;
        if (this.#closed === undefined) this.#triggers.failed();
      } finally {
        this.#isPurging = false;
      }
    });
  }

  /** Takes a last snapshot if it is told to, gives up what is running, and stops. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      this.#triggers.stop();
      this.#closing.abort(closed());
      const { onClose } = this.#triggers;
      if (!onClose || this.#running?.kind !== "save") this.#running?.stop.abort(closed());
      await this.#running?.operation().result.catch(() => {});
      if (onClose && this.#isBehind()) {
        await this.#startSave(undefined).result.catch(() => {}); // an event said so; the log has what it would have held
      }
      await this.#purging;
      this.#evidence.close();
      this.#setState("closed");
    })();
  }

  #isBehind(): boolean {
    return this.#context.applied().index > this.#evidence.counted.index;
  }

  /** A snapshot was found bad: another one is due, and a copy of it welcome. */
  #onLost(index: bigint): void {
    this.#installer.lost(index);
    if (this.#evidence.counted.isLost(index)) queueMicrotask(() => this.#whenDue());
  }

  #whenDue(): void {
    if (this.#closed !== undefined || this.#running !== undefined) return;
    if (this.#isBehind()) void this.snapshot();
    else if (this.#isRoomWanted && !this.#isPurging) void this.purge();
  }

  /** The log has no room: a snapshot, or a purge that failed before, may give some. */
  roomWanted(): void {
    this.#isRoomWanted = true;
    this.#triggers.wanted();
  }

  #busy(): SnapshotError {
    return new SnapshotError("BUSY", `A snapshot is being ${DOING[this.#running!.kind]}`);
  }

  /**
   * Uses what the machine saves, as it is now, for something else than a snapshot in the storage.
   *
   * @param signal gives it up
   * @param use what is done; calls what it is given first for the synchronous part
   * @returns what that gives; fails with `BUSY` while something is running, `TIMEOUT` if it takes too long or stalls
   */
  live<T>(
    signal: AbortSignal | undefined,
    use: (
      prepare: () => Promise<Prepared>,
      signal: AbortSignal,
      tracker: Tracker,
      callBack: CallBack,
    ) => Promise<T>,
  ): Operation<T> {
    if (signal !== undefined) checkSignal(signal, "signal");
    checkFunction(use, "use");
    const refusal = this.#closed !== undefined ? closed() : this.#running !== undefined ? this.#busy() : undefined;
    if (refusal !== undefined) return new Operation(() => Promise.reject(refusal));
    const operation: Operation<T> = new Operation((tracker) =>
      this.#run("push", undefined, signal, () => operation, async ({ stop }) => {
        this.#setState("saving");
        const watch = watchWork("save", stop, tracker, this.#clock, this.#options);
        try {
          return await use(() => this.#prepare(stop.signal), stop.signal, tracker, this.#callBack);
        } finally {
          watch();
        }
      })
    );
    return operation;
  }

  /** The synchronous part of a save, between two applies. */
  #prepare(signal: AbortSignal): Promise<Prepared> {
    return this.#context.exclusive(() => {
      throwIfCancelled(signal);
      this.#context.checkSavable();
      const applied = this.#context.applied();
      const logBytes = this.#logBytes;
      const start = performance.now();
      const task = checkTask(this.#context.machine.save());
      return { task, applied, logBytes, duration: performance.now() - start };
    });
  }

  #startSave(signal: AbortSignal | undefined): Operation<SaveResult> {
    const operation: Operation<SaveResult> = new Operation((tracker) =>
      this.#run("save", undefined, signal, () => operation, (running) => this.#save(running, tracker))
    );
    return operation;
  }

  /** Does something, from its first turn on; nothing else runs until it has ended. */
  async #run<T>(
    kind: Running["kind"],
    index: bigint | undefined,
    signal: AbortSignal | undefined,
    operation: () => Operation<T>,
    work: (running: Running) => Promise<T>,
  ): Promise<T> {
    const running: Running = { kind, stop: new AbortController(), operation, index };
    this.#running = running;
    const onAbort = () => running.stop.abort(cancelled(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      await Promise.resolve(); // `operation` is there from now on
      void this.#report(operation());
      return await work(running);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#running = undefined;
      this.#setState("idle");
    }
  }

  /** Makes events of the progress of something. */
  async #report(operation: Operation<unknown>): Promise<void> {
    try {
      for await (const progress of operation) this.#onEvent({ type: "progress", progress });
    } catch {
      // whoever waits for its result sees that
    }
  }

  async #save({ stop }: Running, tracker: Tracker): Promise<SaveResult> {
    this.#setState("saving");
    const watch = watchWork("save", stop, tracker, this.#clock, this.#options);
    try {
      const [top] = await this.#evidence.refresh(stop.signal);
      const { index: applied } = this.#context.applied();
      // A snapshot that is there but does not count is in the way: the commit would fail after everything was written.
      if (top !== undefined && top.meta.lastIncludedIndex >= applied) throw stale(applied, top.meta.lastIncludedIndex);
      await raceAbort(this.#leaving, stop.signal); // else the storage would be busy with it
      const { snapshot, reusedChunks, logBytes, syncDuration, asyncDuration } = await runSave({
        storage: this.#context.storage,
        clock: this.#clock,
        signal: stop.signal,
        tracker,
        prepare: () => this.#prepare(stop.signal),
        leave: (late) => this.#leaving = late,
        callBack: this.#callBack,
      });
      const { bytes, reused } = tracker.progress;
      const result: SaveResult = {
        taken: snapshot !== undefined,
        ...((snapshot ?? this.newest) !== undefined && { snapshot: snapshot ?? this.newest! }),
        syncDuration,
        asyncDuration,
        bytes: bytes - reused,
        chunks: snapshot === undefined ? 0 : snapshot.chunks - reusedChunks,
        reused,
      };
      this.#triggers.succeeded();
      if (snapshot !== undefined) {
        this.#evidence.counted.add(snapshot);
        this.#logBytes -= logBytes;
        this.#metrics = { ...this.#metrics, saves: this.#metrics.saves + 1, lastSave: result };
        this.#onEvent({ type: "saved", result });
        await this.purge();
      }
      return result;
    } catch (error) {
      const adopted = hasCode(error, "STALE") ? await this.#adopt(stop.signal) : undefined;
      if (adopted !== undefined) return adopted;
      this.#metrics = { ...this.#metrics, saveFailures: this.#metrics.saveFailures + 1 };
      this.#onEvent({ type: "saveFailed", error });
      // A cancelled save, or one that `close` ended, is not retried.
      if (this.#closed === undefined && !hasCode(error, "CANCELLED", "CLOSED")) this.#triggers.failed();
      throw error;
    } finally {
      watch();
    }
  }

  /**
   * Another snapshot is there already: of another replica that shares the storage, and was faster; or of this very state, and
   * was restored from the quarantine. It does as well, if it could be loaded here too.
   */
  async #adopt(signal: AbortSignal): Promise<SaveResult | undefined> {
    const [snapshot] = await this.#evidence.refresh(signal);
    if (snapshot === undefined || snapshot.meta.lastIncludedIndex <= this.#evidence.counted.index) return undefined;
    const { index, term } = this.#context.applied();
    const { lastIncludedIndex, lastIncludedTerm } = snapshot.meta;
    const isOfState = lastIncludedIndex === index && lastIncludedTerm === term;
    if (this.#context.isShared !== true && !isOfState) return undefined;
    if (!await this.#evidence.prove(snapshot, signal)) return undefined;
    this.#triggers.succeeded();
    await this.purge();
    return notTaken(snapshot);
  }

  /** Waits for, or ends, what is in the way of an install, until nothing is; then installs. Or refuses it. */
  async #installWhenFree(
    receiver: Receiver,
    signal: AbortSignal | undefined,
    tracker: Tracker,
    operation: () => Operation<SnapshotInfo>,
  ): Promise<SnapshotInfo> {
    const { index } = receiver;
    for (;;) {
      throwIfCancelled(signal);
      if (this.#closed !== undefined) throw closed();
      if (index !== undefined) this.#installer.checkNewer(index);
      const running = this.#running;
      if (running === undefined) {
        return await this.#run("install", index, signal, operation, (run) => this.#install(receiver, run, tracker));
      }
      if (running.kind === "install" && this.#state !== "loading") {
        if (index === undefined || running.index === undefined) throw this.#busy();
        if (index === running.index) {
          try {
            return await raceAbort(running.operation().result as Promise<SnapshotInfo>, signal);
          } catch (error) {
            // That install was cancelled by its caller; this one was not.
            if (hasCode(error, "CANCELLED") && !signal?.aborted) continue;
            throw error;
          }
        }
        if (index < running.index) {
          throw new SnapshotError(
            "STALE",
            `Snapshot ${running.index} is being installed, which is newer than ${index}`,
            {
              index,
              actual: running.index,
            },
          );
        }
        running.stop.abort(
          new SnapshotError("STALE", `Snapshot ${index}, which is newer, is installed instead`, { index }),
        );
      } else if (running.kind !== "install" && this.#options.whileSaving === "cancel") {
        running.stop.abort(new SnapshotError("CANCELLED", "A snapshot is installed instead of saving one"));
      }
      await raceAbort(running.operation().result.catch(() => {}), signal);
    }
  }

  async #install(receiver: Receiver, running: Running, tracker: Tracker): Promise<SnapshotInfo> {
    this.#setState("receiving");
    try {
      const snapshot = await this.#installer.run(running, receiver, tracker);
      this.#metrics = { ...this.#metrics, installs: this.#metrics.installs + 1 };
      this.#onEvent({ type: "installed", snapshot });
      await this.purge();
      return snapshot;
    } catch (error) {
      this.#metrics = { ...this.#metrics, installFailures: this.#metrics.installFailures + 1 };
      this.#onEvent({ type: "installFailed", error, index: running.index });
      throw error;
    }
  }

  async #purge(): Promise<void> {
    const { purge = {} } = this.#options;
    const purged = await purgeLog(this.#context, this.#evidence, this.#clock, purge, this.#closing.signal);
    if (purged === undefined) return;
    const { index, entries } = purged;
    this.#metrics = { ...this.#metrics, purgedEntries: this.#metrics.purgedEntries + entries };
    this.#onEvent({ type: "purged", index });
  }

  /** Calls back the machine, and reports what it throws. */
  readonly #callBack: CallBack = async (callback, call) => {
    try {
      await call();
    } catch (error) {
      this.#onEvent({ type: "callbackFailed", callback, error });
    }
  };

  #setState(state: ExecutorState): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.#onEvent({ type: "state", state });
  }
}

/** Nothing was taken: there is one already that does. */
function notTaken(snapshot: SnapshotInfo | undefined): SaveResult {
  const nothing = { taken: false, syncDuration: 0, asyncDuration: 0, bytes: 0, chunks: 0, reused: 0 };
  return { ...nothing, ...(snapshot !== undefined && { snapshot }) };
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The executor was closed");
}
