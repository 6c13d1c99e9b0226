/**
 * When, and in what order: one save or install at a time, retention, then purge. braft's `SnapshotExecutor` with its
 * holes closed: nothing runs without a time limit, a failure is tried again, a save can be given up.
 *
 * @module
 */

import { able, checkFunction, checkInteger, checkOptions, checkSignal } from "../checks.ts";
import { cancelled, hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type SnapshotInfo, stale } from "../snapshot/mod.ts";
import { Operation, raceAbort, type Tracker } from "../stream/mod.ts";
import { checkContext, checkSnapshotOptions, checkTask, executorChecks } from "./checks.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ExecutorEvent, ExecutorMetrics, ExecutorState, SaveResult } from "./events.ts";
import type { ExecutorContext, ExecutorOptions, Receiver, SnapshotOptions } from "./options.ts";
import { purgeIndex } from "./purge.ts";
import { alignLog } from "./recovery.ts";
import { type Prepared, runSave } from "./save.ts";
import { Triggers } from "./triggers.ts";
import { watchWork } from "./watch.ts";

/** A save, a live push or an install that is running. */
interface Running {
  readonly kind: "save" | "push" | "install";
  readonly stop: AbortController;
  readonly operation: () => Operation<unknown>;
  index: bigint | undefined;
}

/** What is being done to a snapshot meanwhile, for messages. */
const DOING = { save: "taken", push: "sent", install: "installed" } as const;

/** Takes snapshots, installs snapshots, and drops the log behind them. */
export class SnapshotExecutor {
  readonly #context: ExecutorContext;
  readonly #options: ExecutorOptions;
  readonly #clock: Clock;
  readonly #triggers: Triggers;
  #state: ExecutorState = "idle";
  #running: Running | undefined;
  /** The newest snapshot that is known to be durable. */
  #newest: SnapshotInfo | undefined;
  /** Bytes of what was applied since that. */
  #logBytes = 0;
  #metrics: ExecutorMetrics = { saves: 0, saveFailures: 0, installs: 0, installFailures: 0, purgedEntries: 0n };
  #purging: Promise<void> = Promise.resolve();
  /** What saves that were given up have left to be put away. */
  #leaving: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /**
   * Makes an executor, and starts its timer.
   *
   * @param context what it works with
   * @param options see {@linkcode ExecutorOptions}
   */
  constructor(context: ExecutorContext, options: ExecutorOptions = {}) {
    this.#context = checkContext(context);
    this.#options = checkOptions(options, executorChecks());
    this.#clock = options.clock ?? systemClock();
    this.#newest = context.newest;
    this.#triggers = new Triggers(options.triggers ?? {}, options.retry ?? {}, this.#clock, () => this.#whenDue());
    this.#triggers.start();
  }

  /** What it is doing. */
  get state(): ExecutorState {
    return this.#state;
  }

  /** Counts. */
  get metrics(): ExecutorMetrics {
    return this.#metrics;
  }

  /** The newest snapshot that is known to be durable. */
  get newest(): SnapshotInfo | undefined {
    return this.#newest;
  }

  get #snapshotIndex(): bigint {
    return this.#newest?.meta.lastIncludedIndex ?? 0n;
  }

  /** Entries were applied: takes a snapshot if that makes one due. */
  applied(bytes: number): void {
    checkInteger(bytes, "bytes");
    this.#logBytes += bytes;
    this.#triggers.applied({
      appliedIndex: this.#context.applied().index,
      snapshotIndex: this.#snapshotIndex,
      snapshotBytes: this.#newest?.size ?? 0,
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
    if (this.#context.applied().index - this.#snapshotIndex < Math.max(gap, 1)) {
      const snapshot = this.#newest;
      const nothing = { taken: false, syncDuration: 0, asyncDuration: 0, bytes: 0, chunks: 0, reused: 0 };
      return new Operation(() => Promise.resolve({ ...nothing, ...(snapshot !== undefined && { snapshot }) }));
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
      try {
        await this.#purge();
      } catch (error) {
        this.#emit({ type: "purgeFailed", error });
      }
    });
  }

  /** Takes a last snapshot if it is told to, gives up what is running, and stops. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      this.#triggers.stop();
      const { onClose } = this.#triggers;
      if (!onClose || this.#running?.kind !== "save") this.#running?.stop.abort(closed());
      await this.#running?.operation().result.catch(() => {});
      if (onClose && this.#isBehind()) {
        await this.#startSave(undefined).result.catch(() => {}); // an event said so; the log has what it would have held
      }
      await this.#purging;
      this.#setState("closed");
    })();
  }

  #isBehind(): boolean {
    return this.#context.applied().index > this.#snapshotIndex;
  }

  #whenDue(): void {
    if (this.#closed === undefined && this.#running === undefined && this.#isBehind()) void this.snapshot();
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
    use: (prepare: () => Promise<Prepared>, signal: AbortSignal, tracker: Tracker) => Promise<T>,
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
          return await use(() => this.#prepare(stop.signal), stop.signal, tracker);
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
      for await (const progress of operation) this.#emit({ type: "progress", progress });
    } catch {
      // whoever waits for its result sees that
    }
  }

  async #save({ stop }: Running, tracker: Tracker): Promise<SaveResult> {
    this.#setState("saving");
    const watch = watchWork("save", stop, tracker, this.#clock, this.#options);
    try {
      await raceAbort(this.#leaving, stop.signal); // else the storage would be busy with it
      const { snapshot, reusedChunks, logBytes, syncDuration, asyncDuration } = await runSave({
        storage: this.#context.storage,
        clock: this.#clock,
        signal: stop.signal,
        tracker,
        prepare: () => this.#prepare(stop.signal),
        leave: (late) => this.#leaving = late,
      });
      const { bytes, reused } = tracker.progress;
      const result: SaveResult = {
        taken: snapshot !== undefined,
        ...((snapshot ?? this.#newest) !== undefined && { snapshot: snapshot ?? this.#newest! }),
        syncDuration,
        asyncDuration,
        bytes: bytes - reused,
        chunks: snapshot === undefined ? 0 : snapshot.chunks - reusedChunks,
        reused,
      };
      this.#triggers.succeeded();
      if (snapshot !== undefined) {
        this.#newest = snapshot;
        this.#logBytes -= logBytes;
        this.#metrics = { ...this.#metrics, saves: this.#metrics.saves + 1, lastSave: result };
        this.#emit({ type: "saved", result });
        await this.purge();
      }
      return result;
    } catch (error) {
      const adopted = this.#context.isShared && hasCode(error, "STALE") ? await this.#adopt() : undefined;
      if (adopted !== undefined) return adopted;
      this.#metrics = { ...this.#metrics, saveFailures: this.#metrics.saveFailures + 1 };
      this.#emit({ type: "saveFailed", error });
      // Who cancelled it, or closed, does not want it again.
      if (this.#closed === undefined && !hasCode(error, "CANCELLED", "CLOSED")) this.#triggers.failed();
      throw error;
    } finally {
      watch();
    }
  }

  /** Another replica that shares the storage was faster: its snapshot does as well. Nothing if there is none. */
  async #adopt(): Promise<SaveResult | undefined> {
    const [snapshot] = await this.#context.storage.list();
    if (snapshot === undefined || snapshot.meta.lastIncludedIndex <= this.#snapshotIndex) return undefined;
    this.#newest = snapshot;
    this.#triggers.succeeded();
    await this.purge();
    return { taken: false, snapshot, syncDuration: 0, asyncDuration: 0, bytes: 0, chunks: 0, reused: 0 };
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
      if (index !== undefined) this.#checkNewer(index);
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
            // Who asked for that one gave it up; who asked for this one did not.
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

  /** @throws {SnapshotError} `STALE` if the state here is as new */
  #checkNewer(index: bigint): void {
    const { index: applied } = this.#context.applied();
    const old = this.#snapshotIndex > applied ? index < this.#snapshotIndex : index <= this.#snapshotIndex;
    if (this.#newest !== undefined && old) throw stale(index, this.#newest.meta.lastIncludedIndex);
    if (index <= applied) throw this.#notNewer(index, applied);
  }

  #notNewer(index: bigint, applied: bigint): SnapshotError {
    return new SnapshotError("STALE", `Snapshot ${index} is not newer than the state here, which is at ${applied}`, {
      index,
      actual: applied,
    });
  }

  async #install(receiver: Receiver, running: Running, tracker: Tracker): Promise<SnapshotInfo> {
    this.#setState("receiving");
    try {
      const snapshot = this.#unloaded(running.index) ?? await this.#receive(receiver, running, tracker);
      this.#newest = snapshot; // durable from here on, whether it can be loaded or not
      this.#setState("loading");
      tracker.phase("load");
      await this.#context.exclusive(() => this.#load(snapshot));
      this.#metrics = { ...this.#metrics, installs: this.#metrics.installs + 1 };
      this.#emit({ type: "installed", snapshot });
      await this.purge();
      return snapshot;
    } catch (error) {
      this.#metrics = { ...this.#metrics, installFailures: this.#metrics.installFailures + 1 };
      this.#emit({ type: "installFailed", error, index: running.index });
      throw error;
    }
  }

  async #receive(receiver: Receiver, running: Running, tracker: Tracker): Promise<SnapshotInfo> {
    const { signal } = running.stop;
    const watch = watchWork("install", running.stop, tracker, this.#clock, this.#options);
    try {
      return await receiver.receive(signal, tracker, (index) => {
        this.#checkNewer(index);
        running.index = index;
      });
    } catch (error) {
      if (!hasCode(error, "STALE") || signal.aborted) throw error;
      const here = this.#unloaded(running.index ?? error.index); // where it was not asked for by its index
      if (here !== undefined) return here; // it turned out to be that one
      throw error;
    } finally {
      watch();
    }
  }

  /** A snapshot that was received and could not be loaded, if it is the one that is asked for. */
  #unloaded(index: bigint | undefined): SnapshotInfo | undefined {
    return index === this.#snapshotIndex && index > this.#context.applied().index ? this.#newest : undefined;
  }

  /** Replaces the machine's state, and what of the log does not fit to it. Between two applies. */
  async #load({ meta }: SnapshotInfo): Promise<void> {
    const { machine, log } = this.#context;
    const { index: applied } = this.#context.applied();
    if (meta.lastIncludedIndex <= applied) throw this.#notNewer(meta.lastIncludedIndex, applied); // applied meanwhile
    await machine.pause?.();
    try {
      await this.#loadMachine(meta.lastIncludedIndex);
      this.#logBytes = 0;
      this.#context.loaded(meta); // whatever becomes of the log
      await alignLog(log, meta);
    } finally {
      await machine.reinitialize?.();
    }
  }

  async #loadMachine(index: bigint): Promise<void> {
    const { machine, storage } = this.#context;
    try {
      const reader = await storage.open(index);
      try {
        await machine.load(reader);
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (hasCode(error, "CORRUPT")) {
        await storage.quarantine(index, error.message);
        [this.#newest] = await storage.list(); // so that it can be received anew
      }
      throw error;
    }
  }

  async #purge(): Promise<void> {
    const { storage, log } = this.#context;
    const snapshots = await storage.list();
    const oldest = snapshots.length < storage.retain ? undefined : snapshots.at(-1);
    const { firstIndex } = log;
    const { index: applied } = this.#context.applied(); // another replica's snapshot may be ahead of that
    const index = purgeIndex({
      snapshotIndex: this.#snapshotIndex < applied ? this.#snapshotIndex : applied,
      oldestSnapshot: oldest?.meta.lastIncludedIndex ?? 0n,
      firstIndex,
      lastIndex: log.lastIndex,
      now: this.#clock.now(),
    }, this.#options.purge ?? {});
    if (index === undefined) return;
    await log.purge(index);
    const purgedEntries = this.#metrics.purgedEntries + log.firstIndex - firstIndex;
    this.#metrics = { ...this.#metrics, purgedEntries };
    this.#emit({ type: "purged", index });
  }

  #setState(state: ExecutorState): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.#emit({ type: "state", state });
  }

  #emit(event: ExecutorEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch {
      // a listener's mistake must not stop a save
    }
  }
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The executor was closed");
}
