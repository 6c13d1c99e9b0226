/**
 * One install: a snapshot is received, tried before it counts, and replaces the state.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type SnapshotInfo, type SnapshotMeta, type SnapshotReader, stale } from "../snapshot/mod.ts";
import type { Tracker } from "../async/mod.ts";
import type { SnapshotEvidence } from "./evidence.ts";
import type { Running } from "./one_at_a_time.ts";
import type { ExecutorContext, Receiver } from "./options.ts";
import { alignLog, openListed } from "./recovery.ts";
import { TrialLoad } from "./trial_load.ts";

/** Installs snapshots, one at a time. */
export class Installer {
  readonly #context: ExecutorContext;
  readonly #evidence: SnapshotEvidence;
  readonly #watch: (stop: AbortController, tracker: Tracker) => () => void;
  readonly #onLoading: () => void;
  readonly #exclude: (run: Running) => Promise<void>;
  /** A snapshot that was received, and could not be loaded yet. */
  #unloaded: SnapshotInfo | undefined;

  /**
   * @param context machine, storage and log
   * @param evidence the evidence about the snapshots there
   * @param watch watches over the progress; returns what ends that
   * @param exclude excludes saves from now on, and waits for the one that runs
   * @param onLoading is called when it cannot be cancelled any more
   */
  constructor(
    context: ExecutorContext,
    evidence: SnapshotEvidence,
    watch: (stop: AbortController, tracker: Tracker) => () => void,
    exclude: (run: Running) => Promise<void>,
    onLoading: () => void,
  ) {
    this.#context = context;
    this.#evidence = evidence;
    this.#watch = watch;
    this.#exclude = exclude;
    this.#onLoading = onLoading;
  }

  /** @throws {SnapshotError} `STALE` if the state here is as new, unless its snapshot was lost */
  checkNewer(index: bigint): void {
    const { counted } = this.#evidence;
    const { index: applied } = this.#context.fsm.applied;
    const unloaded = this.#unloaded?.meta.lastIncludedIndex ?? 0n;
    if (counted.index > 0n && index <= counted.index) throw stale(index, counted.index);
    if (unloaded > applied && index < unloaded) throw stale(index, unloaded);
    if (index <= applied && !counted.isLost(index)) throw notNewer(index, applied);
  }

  /** Notes that a snapshot was found bad: it has to be received again. */
  lost(index: bigint): void {
    if (this.#unloaded?.meta.lastIncludedIndex === index) this.#unloaded = undefined;
  }

  /**
   * Receives a snapshot, and loads it. Before it is committed the machine checks it, or, if it has no check, is loaded
   * already: a snapshot that cannot be loaded is never committed here.
   */
  async run(run: Running, receiver: Receiver, tracker: Tracker): Promise<SnapshotInfo> {
    const { counted } = this.#evidence;
    const trial = new TrialLoad(this.#context);
    const snapshot = this.#unloadedAt(run.index) ?? await this.#receive(run, receiver, tracker, trial);
    await this.#exclude(run);
    const { lastIncludedIndex: index } = snapshot.meta;
    const { index: applied } = this.#context.fsm.applied;
    if (trial.isLoaded) {
      counted.add(snapshot);
      await trial.end({ snapshot });
    } else if (index <= applied) {
      if (!counted.isLost(index)) throw notNewer(index, applied); // applied meanwhile
      counted.add(snapshot); // tried, or a copy of the lost one: the state has all of it
    } else {
      this.#unloaded = snapshot; // durable from here on, even if it cannot be loaded
      this.#onLoading();
      tracker.phase("load");
      await this.#load(snapshot, trial.checked);
      this.#unloaded = undefined;
    }
    return snapshot;
  }

  async #receive(run: Running, receiver: Receiver, tracker: Tracker, trial: TrialLoad): Promise<SnapshotInfo> {
    const { stop } = run;
    const { signal } = stop;
    let unwatch = this.#watch(stop, tracker);
    const found = (index: bigint) => {
      this.checkNewer(index);
      run.index = index;
      run.isComing = receiver.saves !== undefined;
    };
    // Before the commit begins: a save that runs needs the storage for its own.
    const onReceived = async () => {
      unwatch();
      await this.#exclude(run);
      unwatch = this.#watch(stop, tracker);
    };
    const check = async (reader: SnapshotReader) => {
      throwIfCancelled(signal);
      unwatch(); // it takes as long as it takes to read everything
      await this.#try(reader, signal, tracker, trial);
      // A loaded one cannot be cancelled: it waits for the commit.
      if (!trial.isLoaded) unwatch = this.#watch(stop, tracker);
    };
    try {
      return await receiver.receive(signal, tracker, found, check, onReceived);
    } catch (error) {
      if (trial.isLoaded) await trial.end({ cause: error });
      if (!hasCode(error, "STALE") || signal.aborted) throw error;
      const here = this.#unloadedAt(run.index ?? error.index); // the index may be known by the error only
      if (here === undefined) throw error;
      trial.checked = undefined; // that was another, though of its index
      return here; // it was received before
    } finally {
      unwatch();
    }
  }

  /** Tries a snapshot that is complete and durable, and not yet visible. */
  async #try(reader: SnapshotReader, signal: AbortSignal, tracker: Tracker, trial: TrialLoad): Promise<void> {
    const { lastIncludedIndex: index } = reader.meta;
    this.checkNewer(index);
    const { index: applied } = this.#context.fsm.applied;
    if (this.#context.fsm.canCheck) {
      tracker.phase("check");
      trial.checked = await this.#evidence.check(reader, signal, index > applied);
      return;
    }
    if (index <= applied) { // lost here, and the state is as new: without a check only an exact copy is accepted
      if (this.#evidence.counted.isCopyOfLost(index, reader.manifest.digest)) return;
      throw notNewer(index, applied);
    }
    this.#onLoading();
    tracker.phase("load");
    await trial.load(reader, () => this.#checkAhead(index));
  }

  /** The snapshot that was received and could not be loaded, if it has this index. */
  #unloadedAt(index: bigint | undefined): SnapshotInfo | undefined {
    const unloaded = this.#unloaded;
    if (unloaded === undefined || unloaded.meta.lastIncludedIndex <= this.#context.fsm.applied.index) return undefined;
    return unloaded.meta.lastIncludedIndex === index ? unloaded : undefined;
  }

  /** Replaces the machine's state, by what its check has kept of the snapshot if it has, and aligns the log. */
  #load(snapshot: SnapshotInfo, checked: unknown): Promise<void> {
    const { fsm, log } = this.#context;
    return fsm.replace(() => this.#checkAhead(snapshot.meta.lastIncludedIndex), async () => {
      const meta = await this.#loadMachine(snapshot, checked);
      this.#evidence.counted.add(snapshot);
      fsm.loaded(meta); // even if the log cannot be aligned
      await alignLog(fsm, log, meta);
    });
  }

  async #loadMachine(snapshot: SnapshotInfo, checked: unknown): Promise<SnapshotMeta> {
    const { fsm, storage } = this.#context;
    try {
      const reader = await openListed(storage, snapshot);
      try {
        await fsm.load(reader, checked);
        return reader.meta;
      } finally {
        await reader.close();
      }
    } catch (error) {
      await this.#evidence.failed(snapshot, error);
      throw error;
    }
  }

  /** @throws {SnapshotError} `STALE` if so much was applied meanwhile that the snapshot is not newer any more */
  #checkAhead(index: bigint): void {
    const { index: applied } = this.#context.fsm.applied;
    if (index <= applied) throw notNewer(index, applied);
  }
}

function notNewer(index: bigint, applied: bigint): SnapshotError {
  return new SnapshotError("STALE", `Snapshot ${index} is not newer than the state here, which is at ${applied}`, {
    index,
    actual: applied,
  });
}
