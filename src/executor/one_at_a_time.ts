/**
 * The order of saves, live pushes and installs. Whoever sends a snapshot may be slow, or a stranger: while it comes, saves
 * go on beside it. Only loading it excludes them.
 *
 * | while                                | a save               | a push               | an install                                         |
 * | ------------------------------------ | -------------------- | -------------------- | -------------------------------------------------- |
 * | a save runs                          | joins it, or `BUSY`  | `BUSY`               | waits until it is committed, or cancels it         |
 * | a push runs                          | `BUSY`               | `BUSY`               | waits until it is done, or cancels it              |
 * | one with a higher index is received  | runs beside it       | runs beside it       | `STALE`                                            |
 * | one with the same index is received  | runs beside it       | runs beside it       | joins it; begins with its own source if that fails |
 * | one with a lower index is received   | runs beside it       | runs beside it       | takes over, and keeps the chunks that are here     |
 * | one is received, an index is unknown | runs beside it       | runs beside it       | `BUSY`                                             |
 * | one that is streamed is received     | ends it, with `BUSY` | runs beside it       | as above                                           |
 * | one is tried, or loaded              | `BUSY`               | `BUSY`               | waits, or as above while it is only read           |
 *
 * A save joins a running one, unless its caller wants it refused; a push does not.
 *
 * @module
 */

import { cancelled, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { SnapshotInfo } from "../snapshot/mod.ts";
import { onAbort, Operation, type Progress, raceAbort, type Tracker } from "../async/mod.ts";
import type { Receiver } from "./options.ts";
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
  /** True of an install as long as its snapshot comes, if saves run meanwhile: see `Receiver.saves`. */
  isComing: boolean;
  /** True of an install that may have the storage's writer, and is ended for a save then. */
  readonly givesWay: boolean;
}

/** The words for a running operation, for messages. */
const DOING = { save: "taken", push: "sent", install: "installed" } as const;

/** Runs one save or push at a time, and one install, of which only the receiving goes on beside the other. */
export class OneAtATime {
  readonly #emit: (event: ExecutorEvent) => void;
  #state: ExecutorState = "idle";
  /** The save or push that runs. */
  #work: Running | undefined;
  /** The install that runs. */
  #install: Running | undefined;
  readonly #onFree: () => void;
  /** The number of installs that wait or run. */
  #installs = 0;
  #isClosed = false;

  /**
   * @param emit takes the changes of state, and the progress
   * @param onFree called when a save could begin, and no install waits; but not after a save that failed
   */
  constructor(emit: (event: ExecutorEvent) => void, onFree: () => void) {
    this.#emit = emit;
    this.#onFree = onFree;
  }

  /** The state of the executor. */
  get state(): ExecutorState {
    return this.#state;
  }

  /** How far the running operation is: the work, if an install runs beside it. */
  get progress(): Progress | undefined {
    return (this.#work ?? this.#install)?.operation().progress;
  }

  /** The reason why no save or push can be started now. */
  get refusal(): SnapshotError | undefined {
    if (this.#isClosed) return closed("executor");
    const inTheWay = this.#work ?? (this.#install?.isComing ? undefined : this.#install);
    return inTheWay && busy(inTheWay);
  }

  /** Whether a save runs that others may join. */
  get isSaving(): boolean {
    return !this.#isClosed && this.#work?.kind === "save";
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
      this.#run(kind, { index: undefined }, signal, tracker, () => operation, ({ stop }) => work(stop, tracker))
    );
    return operation;
  }

  /**
   * Installs a snapshot when nothing is in the way, or refuses it.
   *
   * @param receiver receives it
   * @param signal cancels it
   * @param cancelsSaves true if a save is cancelled for it
   * @param checkNewer throws if the snapshot is not newer than the state
   * @param work the install
   */
  install(
    receiver: Receiver,
    signal: AbortSignal | undefined,
    cancelsSaves: boolean,
    checkNewer: (index: bigint) => void,
    work: (running: Running, tracker: Tracker) => Promise<SnapshotInfo>,
  ): Operation<SnapshotInfo> {
    const { index } = receiver;
    const operation: Operation<SnapshotInfo> = new Operation(async (tracker) => {
      this.#installs++;
      try {
        for (;;) {
          throwIfCancelled(signal);
          if (this.#isClosed) throw closed("executor");
          if (index !== undefined) checkNewer(index);
          const running = this.#install ?? this.#work;
          if (running === undefined) {
            return await this.#run("install", receiver, signal, tracker, () => operation, (run) => work(run, tracker));
          }
          if (running.kind === "install" && this.#state !== "loading") {
            const joined = await this.#meet(running, index, signal);
            if (joined !== undefined) return joined;
          } else if (running.kind !== "install" && cancelsSaves) {
            running.stop.abort(insteadOfSave());
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
   * Begins to try or load what an install has received: no save or push begins from now on, and the one that runs is
   * waited for, or cancelled.
   *
   * @param install the install
   * @param cancelsSaves true if a save is cancelled for it
   */
  async exclude(install: Running, cancelsSaves: boolean): Promise<void> {
    install.isComing = false;
    const work = this.#work;
    if (work === undefined) return;
    if (cancelsSaves) work.stop.abort(insteadOfSave());
    await raceAbort(work.ended, install.stop.signal);
  }

  /**
   * Ends an install that has the storage's one writer, as a streamed archive does, for a save; the sender may retry.
   *
   * @returns whether there was one
   */
  async makeRoom(): Promise<boolean> {
    const install = this.#install;
    if (install === undefined || !install.isComing || !install.givesWay) return false;
    install.stop.abort(new SnapshotError("BUSY", "A snapshot is saved here, which waits for no other: send it again"));
    await install.ended;
    return true;
  }

  /**
   * Waits for what is running to end; nothing but a last save can be started from now on.
   *
   * @param keepsSave true to wait for a save; all else is cancelled
   */
  async close(keepsSave: boolean): Promise<void> {
    this.#isClosed = true;
    const running = [this.#work, this.#install].filter((one) => one !== undefined);
    for (const { kind, stop } of running) if (!keepsSave || kind !== "save") stop.abort(closed("executor"));
    await Promise.all(running.map(({ ended }) => ended));
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
    } catch {
      throwIfCancelled(signal);
      return undefined; // whoever sent that one may be to blame for it, and not who sends this one
    }
  }

  /** Runs `work` as the one running operation of its kind, registered synchronously. */
  async #run<T>(
    kind: Running["kind"],
    { index, saves }: Pick<Receiver, "index" | "saves">,
    signal: AbortSignal | undefined,
    tracker: Tracker,
    operation: () => Operation<T>,
    work: (running: Running) => Promise<T>,
  ): Promise<T> {
    const place = kind === "install" ? "install" : "work";
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const [isComing, givesWay] = [saves !== undefined, saves === "beside, or instead"];
    const running: Running = { kind, stop: new AbortController(), operation, ended, index, isComing, givesWay };
    this.#set(place, running);
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
      this.#set(place, undefined);
      this.enter(this.#install !== undefined ? "receiving" : this.#work !== undefined ? "saving" : "idle");
      if (kind !== "save" || !failed) this.#lookFree(); // a save that failed is retried later, or was cancelled
    }
  }

  #set(place: "install" | "work", running: Running | undefined): void {
    if (place === "install") this.#install = running;
    else this.#work = running;
  }

  /** Installs go first: a save that is due begins when none waits. */
  #lookFree(): void {
    if (this.refusal === undefined && (this.#installs === 0 || this.#install !== undefined)) this.#onFree();
  }

  /** Makes events of the progress of something. */
  async #report(tracker: Tracker): Promise<void> {
    for await (const progress of tracker.watch()) this.#emit({ type: "progress", progress });
  }
}

function insteadOfSave(): SnapshotError {
  return new SnapshotError("CANCELLED", "A snapshot is installed instead of saving one");
}

function busy({ kind }: Running): SnapshotError {
  return new SnapshotError("BUSY", `A snapshot is being ${DOING[kind]}`);
}
