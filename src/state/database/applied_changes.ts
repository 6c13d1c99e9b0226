/**
 * What the entries of a log have changed in a state in a database, on its way there.
 *
 * The log has every entry already, so nobody waits for the database: it is written to behind the entries, those of many
 * in one write. That write also says up to which entry it goes. So the database always has the whole of some entry and
 * of all before it, and says which one that is.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { WRITE_BATCH } from "./engine.ts";
import type { DurablyApplied, LogEntry } from "../machine.ts";
import { Overlay, type StateChange } from "./overlay.ts";

/** The longest wait of applied changes for more to be written with them, in milliseconds. */
const WRITE_AFTER = 5;
/** Bytes that may wait to be written; beyond that the next entry waits until they are. */
const MAX_BYTES = 4 * 1024 * 1024;

/** The database that {@linkcode AppliedChanges} writes to, and the overlay that it reads through. */
export interface AppliedContext {
  /** Writes changes, and up to which entry they go, in one write. */
  write(changes: readonly StateChange[], applied: DurablyApplied): Promise<void>;
  /** Is told of the changes of an entry, when it has been applied. */
  applied(changes: readonly StateChange[]): void;
}

/** Applies entries one after the other, each whole or not at all. */
export class AppliedChanges {
  readonly #context: AppliedContext;
  /** The durable index as the database has it; nothing if it holds a state without one. */
  #durable: DurablyApplied | undefined;
  /** True if the database has a durable index: an empty one has none. */
  #isRecorded: boolean;
  /** The last applied entry, written or not. */
  #applied: DurablyApplied | undefined;
  /** The changes of the entry that is being applied. */
  #scope: Overlay | undefined;
  /** Those of entries that were applied. */
  #waiting = new Overlay();
  /** Those that are being written. */
  #writing = new Overlay();
  #draining: Promise<void> | undefined;
  /** The number of callers that wait until all is written; and the end of the wait for more. */
  #flushing = 0;
  #hurry = () => {};
  /** Why the last write failed. */
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param context what it works with
   * @param durable what the database says; nothing if it does not
   * @param isEmpty whether there is no state in it
   */
  constructor(context: AppliedContext, durable: DurablyApplied | undefined, isEmpty: boolean) {
    this.#context = context;
    this.#isRecorded = durable !== undefined;
    this.#applied = this.#durable = durable ?? (isEmpty ? { index: 0n, term: 0n } : undefined);
  }

  /** Up to where the database has it; nothing if that is not known. */
  get durable(): DurablyApplied | undefined {
    return this.#durable;
  }

  /** Up to where it was applied; nothing if that is not known. */
  get applied(): DurablyApplied | undefined {
    return this.#applied;
  }

  /** True if the database has a durable index. */
  get isRecorded(): boolean {
    return this.#isRecorded;
  }

  /** The changes of the entry that is being applied; nothing between two. */
  get scope(): Overlay | undefined {
    return this.#scope;
  }

  /** The applied changes that are not in the database yet, the newest first. */
  get unwritten(): readonly Overlay[] {
    return [this.#waiting, this.#writing];
  }

  /**
   * Applies an entry. If this throws, nothing was changed.
   *
   * @param entry the one that comes next; one that was applied already is passed over
   * @param work changes the state
   */
  async apply(entry: LogEntry, work: () => Promise<void>): Promise<void> {
    if (this.#waiting.size >= WRITE_BATCH || this.#waiting.bytes >= MAX_BYTES) await this.flush();
    if (this.#scope !== undefined) throw new SnapshotError("BUSY", "An entry is being applied: one at a time");
    const before = this.#next(entry);
    if (before === undefined) return;
    const scope = this.#scope = new Overlay();
    try {
      if (entry.configuration === undefined) await work();
    } finally {
      this.#scope = undefined;
    }
    const { index, term, configuration = before.configuration } = entry;
    this.#applied = { index, term, ...(configuration !== undefined && { configuration }) };
    this.#waiting.addAll(scope);
    this.#context.applied(scope.changes);
    this.#draining ??= this.#drain();
  }

  /**
   * Waits until all that was applied is in the database.
   *
   * @throws what the database fails with. It is tried again with the next entry.
   */
  async flush(): Promise<void> {
    this.#flushing++;
    this.#hurry();
    try {
      while (this.#applied !== this.#durable) {
        await (this.#draining ??= this.#drain());
        if (this.#failure !== undefined) throw this.#failure.error;
      }
    } finally {
      this.#flushing--;
    }
  }

  /** Waits until nothing is being written. */
  async settled(): Promise<void> {
    this.#hurry();
    await this.#draining;
  }

  /**
   * Something else than an entry is about to change the state: without a record of its own it is not known any more
   * what it has.
   */
  changedOtherwise(): void {
    if (!this.#isRecorded) this.#applied = this.#durable = undefined;
  }

  /** All was replaced by what snapshots have, and the database says so. Nothing was being written. */
  replaced(applied: DurablyApplied | undefined): void {
    this.#applied = this.#durable = applied;
    this.#isRecorded = applied !== undefined;
    this.#waiting = new Overlay();
    this.#writing = new Overlay();
    this.#failure = undefined;
  }

  /** Returns the durable index after an entry; nothing if that entry was applied already. */
  #next({ index, term }: LogEntry): DurablyApplied | undefined {
    const applied = this.#applied;
    if (applied === undefined) {
      throw new SnapshotError(
        "MALFORMED",
        `Entry ${index} cannot be applied: the database has a state, and does not say up to which entry. Load a ` +
          `snapshot into it, or take a new database`,
        { index },
      );
    }
    if (index < applied.index || (index === applied.index && term === applied.term)) return undefined;
    if (index === applied.index + 1n && term >= applied.term) return applied;
    throw new SnapshotError(
      "MALFORMED",
      `Entry ${index} of term ${term} does not follow entry ${applied.index} of term ${applied.term}, which the state ` +
        `has: every entry must be applied to it, in order, those of the membership too`,
      { index, expected: applied.index + 1n, actual: index },
    );
  }

  /** Waits for a while: what is applied until then goes with the next write. */
  #more(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, WRITE_AFTER);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Writes what was applied; what is applied meanwhile goes with the next write. Never rejects. */
  async #drain(): Promise<void> {
    this.#failure = undefined;
    while (this.#applied !== this.#durable && this.#failure === undefined) {
      if (this.#flushing === 0) await this.#more();
      const applied = this.#applied!;
      const batch = this.#writing = this.#waiting;
      this.#waiting = new Overlay();
      try {
        await this.#context.write(batch.changes, applied);
        this.#durable = applied;
        this.#isRecorded = true;
      } catch (error) {
        this.#failure = { error };
        batch.addAll(this.#waiting); // nothing may be written without what comes before it
        this.#waiting = batch;
      }
      this.#writing = new Overlay();
    }
    this.#draining = undefined;
  }
}
