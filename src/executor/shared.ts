/**
 * A replica of a shared log, which others append to as well: it applies the log's entries as long as it is open.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import type { SharedLog } from "../log/mod.ts";
import type { SnapshotStorage } from "../snapshot/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { type Backoff, backoff, pause, raceAbort } from "../async/mod.ts";
import type { SnapshotExecutor } from "./executor.ts";
import { closed, type FsmCaller } from "./fsm_caller.ts";
import type { NotificationInstaller } from "./notified.ts";
import { storedReceiver } from "./receivers.ts";
import { Turns } from "./turns.ts";

/** The waits before the search for a snapshot is retried. */
const RETRY: Backoff = { first: 250, longest: 30_000 };
/** The time that pending proposals have to arrive when the replica is closed, in milliseconds. */
const GRACE = 5000;

/** The surroundings of a {@linkcode SharedFollower}. */
export interface SharedContext {
  /** The log. */
  readonly log: SharedLog;
  /** The storage of snapshots, maybe also of other replicas. */
  readonly storage: SnapshotStorage;
  /** Loads snapshots. */
  readonly executor: SnapshotExecutor;
  /** Applies the entries. */
  readonly fsm: FsmCaller;
  /** Installs a snapshot from a source that the application names. */
  readonly install: NotificationInstaller;
}

/** A caller that waits for an entry to be applied. */
interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/** Applies a shared log. */
export class SharedFollower {
  readonly #context: SharedContext;
  readonly #stop: AbortController = new AbortController();
  readonly #waiters = new Map<bigint, Waiter[]>();
  readonly #turns = new Turns();
  #running: Promise<void> | undefined;
  #open = false;
  #isStopping = false;
  /** The number of pending proposals; `#quiet` is called when there are none. */
  #proposing = 0;
  #quiet: (() => void) | undefined;
  #problem: SnapshotError | undefined;
  /** The reason it ended with. */
  #ended: SnapshotError | undefined;

  /** @param context what it works with */
  constructor(context: SharedContext) {
    this.#context = context;
    context.fsm.listen({ loaded: () => this.#moved() });
  }

  /** The reason why nothing is applied at present; it is retried. */
  get problem(): SnapshotError | undefined {
    return this.#problem;
  }

  /**
   * Begins to apply; resolves when the entries that the log has now are applied.
   *
   * @param signal cancels that wait
   */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const { log } = this.#context;
    await raceAbort(log.refresh(), signal);
    this.#running = this.#run();
    await raceAbort(this.#reached(log.lastIndex), signal);
    this.#open = true;
  }

  /** Appends an entry to the log; resolves once it was applied here. */
  async propose(entry: Pick<LogEntry, "data" | "configuration">): Promise<LogEntry> {
    if (this.#isStopping) throw closed("replica");
    this.#context.fsm.checkRunning();
    this.#proposing++;
    try {
      const proposed = await this.#context.log.propose(entry, { signal: this.#stop.signal });
      await this.#reached(proposed.index);
      return proposed;
    } finally {
      if (--this.#proposing === 0) this.#quiet?.();
    }
  }

  /** Refuses entries of others, which belong into the log. */
  append(): Promise<void> {
    return Promise.reject(
      new SnapshotError("MALFORMED", "A shared log orders its entries itself: propose, do not append"),
    );
  }

  /** Waits for pending proposals, for the grace period at most, and ends. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const quiet = new Promise<void>((resolve) => this.#quiet = resolve);
    if (this.#proposing > 0 && this.#ended === undefined) await pause(GRACE, undefined, quiet);
    const reason = closed("replica");
    this.#stop.abort(reason);
    await this.#running;
    this.#end(reason);
  }

  /** Notes that a snapshot replaced the state: its entries need not be waited for. */
  #moved(): void {
    const applied = this.#context.fsm.applied.index;
    for (const index of [...this.#waiters.keys()]) if (index <= applied) this.#settle(index);
  }

  /** Follows the log until it is stopped, or fails for good. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let tries = 0;
    while (!signal.aborted) {
      try {
        await this.#follow(() => tries = 0);
      } catch (error) {
        if (signal.aborted) return;
        if (!hasCode(error, "NOT_FOUND")) return this.#fail(error);
        try {
          await this.#mend();
          this.#problem = undefined;
        } catch (cause) {
          if (signal.aborted) return;
          this.#problem = this.#stuck(error, cause);
          if (!this.#open) return this.#fail(this.#problem);
          await pause(backoff(tries++, RETRY), signal).catch(() => {});
        }
      }
    }
  }

  async #follow(onProgress: () => void): Promise<void> {
    const { log, fsm } = this.#context;
    for await (const entries of log.follow(fsm.applied.index + 1n, this.#stop.signal)) {
      this.#problem = undefined;
      onProgress();
      if (await fsm.exclusive(() => this.#apply(entries))) return; // a snapshot was installed: follow from there on
    }
  }

  /** Applies entries. Returns true if one of them is here already, since a snapshot was installed. */
  async #apply(entries: readonly LogEntry[]): Promise<boolean> {
    const { fsm } = this.#context;
    for (const entry of entries) {
      const next = fsm.applied.index + 1n;
      if (entry.index < next) return true;
      if (entry.index > next) {
        throw new SnapshotError("CORRUPT", `The log gave entry ${entry.index} where ${next} comes next`, {
          index: next,
          actual: entry.index,
        });
      }
      await fsm.apply(entry);
      if (this.#waiters.size > 0) this.#settle(entry.index);
      if (this.#turns.step()) await this.#turns.turn();
    }
    return false;
  }

  /** Installs a snapshot, from here or elsewhere, that has the next entries, which were purged. */
  async #mend(): Promise<void> {
    const { log, storage, executor, fsm, install } = this.#context;
    const { signal } = this.#stop;
    const index = log.firstIndex;
    let failure: { readonly error: unknown } | undefined;
    for (const snapshot of await storage.list()) { // may be another replica's, in a shared storage
      const { lastIncludedIndex } = snapshot.meta;
      if (lastIncludedIndex <= fsm.applied.index || lastIncludedIndex + 1n < index) break;
      try {
        await executor.install(storedReceiver(snapshot), signal);
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        failure ??= { error }; // an older one, or one from elsewhere, may do
      }
    }
    const begun = await install({ term: 1n, firstAvailable: { index, term: 1n } }, signal);
    if (begun === undefined) throw failure === undefined ? new Error("no source for one is known") : failure.error;
    await begun.install;
  }

  #stuck(purged: SnapshotError, cause: unknown): SnapshotError {
    const { fsm, log } = this.#context;
    return new SnapshotError(
      "NOT_FOUND",
      `Entries ${fsm.applied.index + 1n} to ${
        log.firstIndex - 1n
      } were purged from the log, and no snapshot that has them ` +
        `could be installed: ${messageOf(cause)}. Name sources in onNotification, or install one by install()`,
      { ...purged.fields, cause },
    );
  }

  #reached(index: bigint): Promise<void> {
    return new Promise((resolve, reject) => {
      if (index <= this.#context.fsm.applied.index) return resolve();
      if (this.#ended !== undefined) return reject(this.#ended);
      const waiters = this.#waiters.get(index);
      if (waiters === undefined) this.#waiters.set(index, [{ resolve, reject }]);
      else waiters.push({ resolve, reject });
    });
  }

  #settle(index: bigint): void {
    const waiters = this.#waiters.get(index);
    if (waiters === undefined) return;
    this.#waiters.delete(index);
    for (const waiter of waiters) waiter.resolve();
  }

  #fail(cause: unknown): void {
    const error = cause instanceof SnapshotError
      ? cause
      : new SnapshotError("UNAVAILABLE", `The log could not be followed: ${messageOf(cause)}`, { cause });
    this.#context.fsm.fail(error);
    this.#end(error);
  }

  #end(error: SnapshotError): void {
    this.#ended ??= error;
    for (const waiter of [...this.#waiters.values()].flat()) waiter.reject(this.#ended);
    this.#waiters.clear();
  }
}
