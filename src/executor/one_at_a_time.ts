/**
 * The order of saves, live pushes and installs: one runs at a time.
 *
 * | while                                | a save or a push | an install                                              |
 * | ------------------------------------ | ---------------- | ------------------------------------------------------- |
 * | a save runs                          | joins it, `BUSY` | waits until it is committed, or cancels it              |
 * | a push runs                          | `BUSY`           | waits until it is done, or cancels it                   |
 * | one with a higher index is received  | `BUSY`           | `STALE`                                                 |
 * | one with the same index is received  | `BUSY`           | joins it                                                |
 * | one with a lower index is received   | `BUSY`           | takes over, and keeps the chunks that are here          |
 * | one is received, an index is unknown | `BUSY`           | `BUSY`                                                  |
 * | one is loaded                        | `BUSY`           | waits                                                   |
 *
 * A save joins a running one, unless its caller wants it refused; a push does not.
 *
 * @module
 */

import { cancelled, hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { SnapshotInfo } from "../snapshot/mod.ts";
import { onAbort, Operation, type Progress, raceAbort, type Tracker } from "../async/mod.ts";
import type { ExecutorEvent, ExecutorState } from "./events.ts";
import { closed } from "./fsm_caller.ts";

/** A save, a live push or an install that is running. */
export interface Running {
  /** The kind of work. */
  readonly kind: "save" | "push" | "install";
  /** Cancels it. */
  readonly stop: AbortController;
  /** The operation; there from its second turn on. */
  readonly operation: () => Operation<unknown>;
  /** Resolves when it has ended, well or not: whoever waits for that only does not answer for its failure. */
  readonly ended: Promise<void>;
  /** The index of the snapshot that is installed, if it is known by now. */
  index: bigint | undefined;
}

/** The words for a running operation, for messages. */
const DOING = { save: "taken", push: "sent", install: "installed" } as const;

/** Runs one save, push or install at a time. */
export class OneAtATime {
  readonly #emit: (event: ExecutorEvent) => void;
  #state: ExecutorState = "idle";
  #running: Running | undefined;
  readonly #onFree: () => void;
  /** The number of installs that wait or run. */
  #installs = 0;
  #isClosed = false;

  /**
   * @param emit takes the changes of state, and the progress
   * @param onFree called when nothing runs or waits any more, but not after a save that failed
   */
  constructor(emit: (event: ExecutorEvent) => void, onFree: () => void) {
    this.#emit = emit;
    this.#onFree = onFree;
  }

  /** The state of the executor. */
  get state(): ExecutorState {
    return this.#state;
  }

  /** How far the running operation is. */
  get progress(): Progress | undefined {
    return this.#running?.operation().progress;
  }

  /** The reason why nothing can be started now. */
  get refusal(): SnapshotError | undefined {
    return this.#isClosed ? closed("executor") : this.#running && busy(this.#running);
  }

  /** Whether a save runs that others may join. */
  get isSaving(): boolean {
    return !this.#isClosed && this.#running?.kind === "save";
  }

  /** Notes what the running operation is doing. */
  enter(state: ExecutorState): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.#emit({ type: "state", state });
  }

  /** Starts a save or a push, if there is no {@linkcode refusal}, which stands from this turn on for others. */
  start<T>(
    kind: "save" | "push",
    signal: AbortSignal | undefined,
    work: (stop: AbortController, tracker: Tracker) => Promise<T>,
  ): Operation<T> {
    const operation: Operation<T> = new Operation((tracker) =>
      this.#run(kind, undefined, signal, tracker, () => operation, ({ stop }) => work(stop, tracker))
    );
    return operation;
  }

  /**
   * Installs a snapshot when nothing is in the way, or refuses it.
   *
   * @param index the index of the snapshot, if it is known
   * @param signal cancels it
   * @param cancelsSaves true if a save is cancelled for it
   * @param checkNewer throws if the snapshot is not newer than the state
   * @param work the install
   */
  install(
    index: bigint | undefined,
    signal: AbortSignal | undefined,
    cancelsSaves: boolean,
    checkNewer: (index: bigint) => void,
    work: (running: Running, tracker: Tracker) => Promise<SnapshotInfo>,
  ): Operation<SnapshotInfo> {
    const operation: Operation<SnapshotInfo> = new Operation(async (tracker) => {
      this.#installs++;
      try {
        for (;;) {
          throwIfCancelled(signal);
          if (this.#isClosed) throw closed("executor");
          if (index !== undefined) checkNewer(index);
          const running = this.#running;
          if (running === undefined) {
            return await this.#run("install", index, signal, tracker, () => operation, (run) => work(run, tracker));
          }
          if (running.kind === "install" && this.#state !== "loading") {
            const joined = await this.#meet(running, index, signal);
            if (joined !== undefined) return joined;
          } else if (running.kind !== "install" && cancelsSaves) {
            running.stop.abort(new SnapshotError("CANCELLED", "A snapshot is installed instead of saving one"));
          }
          await raceAbort(running.ended, signal);
        }
      } finally {
        this.#installs--;
        this.#lookFree();
      }
    });
    return operation;
  }

  /**
   * Waits for what is running to end; nothing but a last save can be started from now on.
   *
   * @param keepsSave true to wait for a save; all else is cancelled
   */
  async close(keepsSave: boolean): Promise<void> {
    this.#isClosed = true;
    const running = this.#running;
    if (!keepsSave || running?.kind !== "save") running?.stop.abort(closed("executor"));
    await running?.ended;
  }

  /** Meets an install that is being received: joins it, ends it, or is refused. */
  async #meet(
    running: Running,
    index: bigint | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SnapshotInfo | undefined> {
    if (index === undefined || running.index === undefined) throw busy(running);
    if (index < running.index) {
      throw new SnapshotError("STALE", `Snapshot ${running.index} is being installed, which is newer than ${index}`, {
        index,
        actual: running.index,
      });
    }
    if (index > running.index) {
      running.stop.abort(
        new SnapshotError("STALE", `Snapshot ${index}, which is newer, is installed instead`, { index }),
      );
      return undefined;
    }
    try {
      return await raceAbort(running.operation().result as Promise<SnapshotInfo>, signal);
    } catch (error) {
      if (!hasCode(error, "CANCELLED") || signal?.aborted) throw error;
      return undefined; // that install was cancelled by its caller; this one was not
    }
  }

  /** Runs `work` as the one running operation, registered synchronously. */
  async #run<T>(
    kind: Running["kind"],
    index: bigint | undefined,
    signal: AbortSignal | undefined,
    tracker: Tracker,
    operation: () => Operation<T>,
    work: (running: Running) => Promise<T>,
  ): Promise<T> {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const running: Running = { kind, stop: new AbortController(), operation, ended, index };
    this.#running = running;
    const unlink = onAbort(signal, () => running.stop.abort(cancelled(signal!)));
    let failed = true;
    try {
      await Promise.resolve(); // `operation` is there from now on
      void this.#report(tracker);
      const result = await work(running);
      failed = false;
      return result;
    } finally {
      unlink();
      end();
      this.#running = undefined;
      this.enter("idle");
      if (kind !== "save" || !failed) this.#lookFree(); // a save that failed is retried later, or was cancelled
    }
  }

  /** Installs go first: a save that is due begins when none waits. */
  #lookFree(): void {
    if (this.#running === undefined && this.#installs === 0) this.#onFree();
  }

  /** Makes events of the progress of something. */
  async #report(tracker: Tracker): Promise<void> {
    for await (const progress of tracker.watch()) this.#emit({ type: "progress", progress });
  }
}

function busy({ kind }: Running): SnapshotError {
  return new SnapshotError("BUSY", `A snapshot is being ${DOING[kind]}`);
}
