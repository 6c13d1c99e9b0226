/**
 * Machines whose state is on a disk of their own (Ratis's disk-based state machines): the log is purged behind what
 * they have there, and a snapshot is only taken to be sent.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import { isShared } from "./any_log.ts";
import type { Clock } from "./clock.ts";
import type { ExecutorContext } from "./options.ts";

/** The limits of a purge behind a machine. */
export interface DiskLimits {
  /** The last entry that the machine has on its disk. */
  readonly synced: bigint;
  /** The snapshot that is being sent, whose receivers need the entries after it; absent if none is. */
  readonly sent: bigint | undefined;
}

/** The disk of a replica's machine, and the snapshot that it sends, as the replica knows them. */
export class DiskBased {
  readonly #context: ExecutorContext;
  readonly #clock: Clock;
  /** The time that a snapshot holds the log once somebody wanted it, in milliseconds. */
  readonly #hold: number;
  /** The last entry that was applied before the last flush; before the first, the last one that was purged. */
  #flushedIndex: bigint;
  #sent: { readonly index: bigint; readonly since: number } | undefined;

  /**
   * @param context machine and log
   * @param clock time
   * @param hold how long the log leads on from a snapshot that somebody wanted, in milliseconds
   */
  constructor(context: ExecutorContext, clock: Clock, hold: number) {
    this.#context = context;
    this.#clock = clock;
    this.#hold = hold;
    this.#flushedIndex = context.log.firstIndex - 1n;
  }

  /**
   * True if the log is purged behind the machine. A log that is shared is not: who joins its group later has nothing
   * but the snapshots in the storage.
   */
  get isActive(): boolean {
    const { fsm, log } = this.#context;
    return fsm.isDiskBased && !isShared(log);
  }

  /** The last entry that the last flush included. */
  get flushedIndex(): bigint {
    return this.#flushedIndex;
  }

  /**
   * Has the machine write and sync what it has.
   *
   * @param flushed is told the bytes of the entries that were applied by then
   * @returns the limits of a purge; nothing if the machine cannot say any more what is on its disk
   */
  async flush(flushed: (appliedBytes: number) => void): Promise<DiskLimits | undefined> {
    const { synced, applied, appliedBytes } = await this.#context.fsm.synced();
    this.#flushedIndex = applied.index;
    flushed(appliedBytes);
    if (synced === undefined) return undefined;
    const isHeld = this.#sent !== undefined && this.#clock.monotonic() - this.#sent.since < this.#hold;
    return { synced, sent: isHeld ? this.#sent!.index : undefined };
  }

  /** Reports whether who loads a snapshot finds the next entries in the log. */
  leadsOn({ meta }: SnapshotInfo): boolean {
    return meta.lastIncludedIndex + 1n >= this.#context.log.firstIndex;
  }

  /** Notes that a snapshot is wanted elsewhere: for a while the log leads on from it. Asking again adds nothing. */
  wanted({ meta: { lastIncludedIndex: index } }: SnapshotInfo): void {
    if (this.#sent?.index !== index) this.#sent = { index, since: this.#clock.monotonic() };
  }
}
