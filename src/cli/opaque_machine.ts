/**
 * A machine that knows nothing of its state: for programs that keep logs and snapshots of others.
 *
 * @module
 */

import type { SnapshotReader } from "../snapshot/mod.ts";
import type { DurablyApplied, LogEntry, SaveTask, StateMachine } from "../state/mod.ts";

/** Applies nothing, saves nothing, and loads whatever there is. */
export class OpaqueMachine implements StateMachine {
  apply(_: LogEntry): void {}

  save(): SaveTask | undefined {
    return undefined;
  }

  load(_: SnapshotReader): Promise<void> {
    return Promise.resolve();
  }

  check(_: SnapshotReader): Promise<void> {
    return Promise.resolve();
  }
}

/** The same, that begins behind an entry which others have. */
export class LateMachine extends OpaqueMachine {
  #at: Pick<DurablyApplied, "index" | "term">;

  /** @param at the last entry that others have */
  constructor(at: Pick<DurablyApplied, "index" | "term">) {
    super();
    this.#at = at;
  }

  override apply({ index, term }: LogEntry): void {
    this.#at = { index, term };
  }

  reconfigure({ index, term }: LogEntry): void {
    this.#at = { index, term };
  }

  override load({ meta }: SnapshotReader): Promise<void> {
    this.#at = { index: meta.lastIncludedIndex, term: meta.lastIncludedTerm };
    return Promise.resolve();
  }

  durable(): DurablyApplied {
    return { ...this.#at };
  }

  flush(): void {}
}
