/**
 * A replica's evidence about the snapshots in its storage.
 *
 * Retention, purge and replacement act on evidence: a snapshot counts when it was saved or loaded here, or tried. One
 * that cannot be read or understood now is left where it is, and named; only one that the storage proves bad is
 * quarantined.
 *
 * @module
 */

import { cancelled, hasCode, SnapshotError } from "../errors.ts";
import type { SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";
import { pause, raceAbort } from "../async/mod.ts";
import { CountedSnapshots } from "./counted.ts";
import type { ExecutorEvent } from "./events.ts";
import type { ExecutorContext } from "./options.ts";
import { openListed } from "./recovery.ts";

/** The time a cancelled check has to stop, in milliseconds. */
const GRACE = 1000;

/** The evidence about the snapshots in a storage. */
export class SnapshotEvidence {
  /** The snapshots that count. */
  readonly counted: CountedSnapshots;
  readonly #context: ExecutorContext;
  readonly #emit: (event: ExecutorEvent) => void;
  readonly #onLost: (index: bigint) => void;
  readonly #unlisten: () => void;

  /**
   * @param context machine and storage
   * @param emit is told of snapshots that cannot be used
   * @param onLost is told the index of a snapshot that was found bad
   */
  constructor(
    context: ExecutorContext,
    emit: (event: ExecutorEvent) => void,
    onLost: (index: bigint) => void,
  ) {
    this.#context = context;
    this.#emit = emit;
    this.#onLost = onLost;
    this.counted = new CountedSnapshots(context.beginning);
    this.#unlisten = context.storage.onQuarantine((index, reason) => this.#lose(index, reason));
  }

  /** Stops listening to the storage. */
  close(): void {
    this.#unlisten();
  }

  /** Lists the storage; snapshots that counted and are gone no longer count. */
  async refresh(signal?: AbortSignal): Promise<readonly SnapshotInfo[]> {
    const listed = await raceAbort(this.#context.storage.list(), signal);
    this.counted.keep(listed);
    return listed;
  }

  /**
   * Tries a snapshot of another replica, or of an earlier process: by the machine's check, or, if it has none, by
   * reading everything.
   *
   * @param all reads everything in any case
   * @returns whether it counts now; if not, the reason is noted
   */
  async prove(snapshot: SnapshotInfo, signal: AbortSignal, all: boolean = false): Promise<boolean> {
    const { fsm, storage } = this.#context;
    const index = snapshot.meta.lastIncludedIndex;
    try {
      const reader = await openListed(storage, snapshot);
      try {
        if (fsm.canCheck && !all) await this.check(reader, signal);
        else {
          await fsm.trust(reader);
          const { ok, bad } = await reader.verify({ signal });
          if (!ok) throw new SnapshotError("UNAVAILABLE", `Snapshot ${index}: ${bad[0]!.message}`, { index });
        }
      } finally {
        await reader.close();
      }
      this.counted.add(snapshot);
      return true;
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      await this.failed(snapshot, error);
      return false;
    }
  }

  /**
   * Lets the machine check a snapshot. A cancelled check must not read on while the next one begins.
   *
   * @param keep lets the machine keep what it decodes, to load it
   * @returns what it has kept
   */
  async check(reader: SnapshotReader, signal: AbortSignal, keep = false): Promise<unknown> {
    const checking = this.#context.fsm.check(reader, keep);
    try {
      return await raceAbort(checking, signal);
    } catch (error) {
      await reader.close();
      await pause(GRACE, undefined, checking.catch(() => {}));
      throw error;
    }
  }

  /** Notes that a snapshot could not be used: the storage examines one that seems bad; else it stays, and is named. */
  async failed(snapshot: SnapshotInfo, error: unknown): Promise<void> {
    if (hasCode(error, "NOT_FOUND", "CLOSED", "CANCELLED")) return; // another replica retired it, or the caller is gone
    const did = this.counted.has(snapshot);
    if (hasCode(error, "CORRUPT")) {
      await this.#context.storage.quarantine(snapshot.meta.lastIncludedIndex, error.message);
    }
    if (did && !this.counted.has(snapshot)) return; // the storage quarantined it, and told
    this.counted.addUnusable({ snapshot, error });
    this.#emit({ type: "unusable", snapshot, error });
    await this.refresh();
  }

  /** Notes that a reader found a snapshot bad. */
  #lose(index: bigint, reason: string): void {
    const snapshot = this.counted.lose(index);
    if (snapshot !== undefined) {
      this.#emit({ type: "unusable", snapshot, error: new SnapshotError("CORRUPT", reason, { index }) });
    }
    this.#onLost(index);
  }
}
