/**
 * The state of a replica, for programs and as JSON.
 *
 * @module
 */

import type { FailingTask, Progress } from "../async/mod.ts";
import type { SnapshotError } from "../errors.ts";
import type { SnapshotInfo } from "../snapshot/mod.ts";
import type { Configuration } from "../state/mod.ts";
import type { UnusableSnapshot } from "./counted.ts";
import type { ExecutorFailure, ExecutorMetrics, ExecutorState } from "./events.ts";

/**
 * The state of a {@linkcode Replica}.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface ReplicaStatus {
  /** The state of its executor. */
  readonly state: ExecutorState;
  /** The name of its group, if it has one. */
  readonly group: string | undefined;
  /** The last entry that was applied. */
  readonly appliedIndex: bigint;
  /** Its term. */
  readonly appliedTerm: bigint;
  /** The members. */
  readonly configuration: Configuration;
  /**
   * The newest snapshot that counts: this replica has saved or loaded it, or tried it, and it was not found bad since.
   */
  readonly snapshot: SnapshotInfo | undefined;
  /** Snapshots in the storage that this replica could not use, and why, newest first. They stay where they are. */
  readonly unusable: readonly UnusableSnapshot[];
  /** The first entry of the log. */
  readonly firstIndex: bigint;
  /** The last entry of the log. */
  readonly lastIndex: bigint;
  /**
   * Whether it takes proposals: a `"leader"` does; a `"follower"` applies another's log; one that is `"superseded"` has
   * learned of another leader of a later term.
   */
  readonly role: "leader" | "follower" | "superseded";
  /** The address of the leader, if another one leads and it is known. */
  readonly leader?: string;
  /** Bytes of the log. */
  readonly logBytes: number;
  /** Counts. */
  readonly metrics: ExecutorMetrics;
  /** The last save, install or purge that failed, when and why, whatever has succeeded since. */
  readonly lastFailure?: ExecutorFailure;
  /**
   * The background tasks that failed the last time, how many times in a row, and since when: `"save"` and `"purge"`,
   * and those of storage and log, if they have any.
   */
  readonly failing: readonly FailingTask[];
  /** How far the running save, push or install is; absent if none runs. */
  readonly progress?: Progress;
  /** The reason why nothing of a shared log is applied just now, and what to do; it is retried. */
  readonly problem?: SnapshotError;
  /**
   * Returns what `JSON.stringify` writes of it: indices as strings, digests in hexadecimal, errors as their
   * code, message and fields.
   */
  toJSON(): Record<string, unknown>;
}
