/**
 * When, and in what order: one save or install at a time, retention, then purge. braft's `SnapshotExecutor` with its
 * holes closed: nothing runs without a time limit, a failure is tried again, a save can be given up.
 *
 * @module
 */

import { cancelled, hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import { type SnapshotInfo, type SnapshotMeta, type SnapshotStorage, stale } from "../snapshot/mod.ts";
import type { StateMachine } from "../state/mod.ts";
import { Operation, raceAbort, type Tracker } from "../stream/mod.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ExecutorEvent, ExecutorMetrics, ExecutorState, SaveResult } from "./events.ts";
import { purgeIndex, type PurgeOptions } from "./purge.ts";
import { alignLog } from "./recovery.ts";
import { type Applied, runSave } from "./save.ts";
import { type RetryOptions, type TriggerOptions, Triggers } from "./triggers.ts";

/** What an executor may be told. */
export interface ExecutorOptions {
  /** What makes a snapshot be taken, besides being asked. */
  readonly triggers?: TriggerOptions;
  /** How a failed save is tried again. */
  readonly retry?: RetryOptions;
  /** What may be purged of the log. */
  readonly purge?: PurgeOptions;
  /**
   * How long a save may take, in milliseconds.
   *
   * @default {600000}
   */
  readonly saveTimeout?: number;
  /**
   * How long a save or an install may take without coming further, in milliseconds.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * What an install does that finds a save running: waits until it is committed, or cancels it.
   *
   * @default {"wait"}
   */
  readonly whileSaving?: "wait" | "cancel";
  /** Time. */
  readonly clock?: Clock;
  /** Told of everything that happens. What it throws is thrown away. */
  readonly onEvent?: (event: ExecutorEvent) => void;
}

/** What an executor works with. */
export interface ExecutorContext {
  /** What is saved and loaded. */
  readonly machine: StateMachine;
  /** Where snapshots are. */
  readonly storage: SnapshotStorage;
  /** The log behind them. */
  readonly log: LogStorage;
  /** The newest snapshot in the storage, which the machine was loaded from; none if there is none. */
  readonly newest: SnapshotInfo | undefined;
  /** Up to where entries were applied. */
  applied(): Applied;
  /** Throws if the state must not be saved: an entry was applied by half. Called between two applies. */
  checkSavable(): void;
  /** Runs something between two applies. */
  exclusive<T>(work: () => T | Promise<T>): Promise<T>;
  /** The machine was loaded from this snapshot. Called between two applies. */
  loaded(meta: SnapshotMeta): void;
}

/** Options of {@linkcode SnapshotExecutor.snapshot}. */
export interface SnapshotOptions {
  /**
   * How many entries must have been applied since the last snapshot; fewer, and there is none taken.
   *
   * @default {1}
   */
  readonly gap?: number;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** What receives a snapshot into the storage. */
export interface Receiver {
  /** The index of the snapshot, if it is known before it is received. */
  readonly index: bigint | undefined;
  /**
   * Receives it.
   *
   * @param signal gives it up
   * @param tracker is told how far it is
   * @param found is told the index, when it is known or when it changes; throws if it is not wanted
   * @returns the snapshot, committed
   */
  receive(signal: AbortSignal, tracker: Tracker, found: (index: bigint) => void): Promise<SnapshotInfo>;
}

/** A save or install that is running. */
interface Running {
  readonly kind: "save" | "install";
  readonly stop: AbortController;
  readonly operation: () => Operation<unknown>;
  index: bigint | undefined;
}

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
  #closed: Promise<void> | undefined;

  /**
   * Makes an executor, and starts its timer.
   *
   * @param context what it works with
   * @param options see {@linkcode ExecutorOptions}
   */
  constructor(context: ExecutorContext, options: ExecutorOptions = {}) {
    this.#context = context;
    this.#options = options;
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
    const { gap = 1, signal } = options;
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
    return new SnapshotError("BUSY", `A snapshot is being ${this.#running!.kind === "save" ? "taken" : "installed"}`);
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
    const watch = this.#watch("save", stop, tracker);
    let logBytes = 0;
    try {
      const { snapshot, syncDuration, asyncDuration } = await runSave({
        storage: this.#context.storage,
        clock: this.#clock,
        signal: stop.signal,
        tracker,
        prepare: () =>
          this.#context.exclusive(() => {
            throwIfCancelled(stop.signal);
            this.#context.checkSavable();
            const applied = this.#context.applied();
            logBytes = this.#logBytes;
            const start = performance.now();
            const task = this.#context.machine.save();
            return { task, applied, duration: performance.now() - start };
          }),
      });
      const { bytes, reused } = tracker.progress;
      const result: SaveResult = {
        taken: snapshot !== undefined,
        ...((snapshot ?? this.#newest) !== undefined && { snapshot: snapshot ?? this.#newest! }),
        syncDuration,
        asyncDuration,
        bytes,
        chunks: snapshot?.chunks ?? 0,
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
      this.#metrics = { ...this.#metrics, saveFailures: this.#metrics.saveFailures + 1 };
      this.#emit({ type: "saveFailed", error });
      // Who cancelled it, or closed, does not want it again.
      if (this.#closed === undefined && !hasCode(error, "CANCELLED", "CLOSED")) this.#triggers.failed();
      throw error;
    } finally {
      watch();
    }
  }

  /** Gives up what takes too long, or does not come further. Returns what stops watching. */
  #watch(kind: Running["kind"], stop: AbortController, tracker: Tracker): () => void {
    const { saveTimeout = 600_000, stallTimeout = 60_000 } = this.#options;
    const giveUp = (what: string, limit: number) =>
      stop.abort(
        new SnapshotError("TIMEOUT", `The ${kind} ${what} ${limit} ms, and was given up`, { expected: limit }),
      );
    // An install takes as long as it takes, while it goes on.
    const cancelTimeout = kind === "install"
      ? () => {}
      : this.#clock.after(saveTimeout, () => giveUp("took more than", saveTimeout));
    let cancelStall = () => {};
    let seen = -1;
    const look = () => {
      if (tracker.version === seen) giveUp("came no further for", stallTimeout);
      seen = tracker.version;
      cancelStall = this.#clock.after(stallTimeout, look);
    };
    look();
    return () => {
      cancelTimeout();
      cancelStall();
    };
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
      } else if (running.kind === "save" && this.#options.whileSaving === "cancel") {
        running.stop.abort(new SnapshotError("CANCELLED", "A snapshot is installed instead of saving one"));
      }
      await raceAbort(running.operation().result.catch(() => {}), signal);
    }
  }

  /** @throws {SnapshotError} `STALE` if the state here is as new */
  #checkNewer(index: bigint): void {
    const { index: applied } = this.#context.applied();
    const old = this.#snapshotIndex > applied ? index < this.#snapshotIndex : index <= this.#snapshotIndex;
    if (this.#newest !== undefined && old) throw stale(index, this.#newest.meta);
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
    const watch = this.#watch("install", running.stop, tracker);
    try {
      return await receiver.receive(signal, tracker, (index) => {
        this.#checkNewer(index);
        running.index = index;
      });
    } catch (error) {
      const here = this.#unloaded(running.index);
      if (here !== undefined && hasCode(error, "STALE") && !signal.aborted) return here; // it turned out to be that one
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
    const index = purgeIndex({
      snapshotIndex: this.#snapshotIndex,
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
