/**
 * What a replica is made of.
 *
 * @module
 */

import type { LogStorage, SharedLog } from "../log/mod.ts";
import type { SnapshotStorage } from "../snapshot/mod.ts";
import type { Configuration, StateMachine } from "../state/mod.ts";
import type { InstallNotification, Source } from "../transfer/mod.ts";
import type { ExecutorOptions } from "./options.ts";
import type { InstallOptions } from "./receivers.ts";

/** Options of {@linkcode Replica.open}. */
export interface ReplicaOptions<M extends StateMachine> extends ExecutorOptions {
  /**
   * The state. What is in storage and log is loaded and applied: it must be as new, or say by `durable` what it has. A
   * `StoredState` is used by way of its `machine`, or of `apply` and `durable`.
   */
  readonly machine: M;
  /** The log: its own, or one that it shares with other replicas. Closed with the replica, or when that cannot be opened. */
  readonly log: LogStorage | SharedLog;
  /** Where snapshots are. Closed with the replica, or when that cannot be opened. */
  readonly storage: SnapshotStorage;
  /**
   * The name of its group: of all replicas that apply the same log; 1 to 255 bytes of UTF-8 without NUL. Snapshots say
   * it, and those of another group are refused (`FORBIDDEN`) from wherever they come, before anything is replaced. By
   * default the storage's, that of the newest snapshot which has one, or the log's. `snapshot/group.ts` has a table of
   * what is taken from where.
   */
  readonly group?: string;
  /** The members of the group, as long as nothing in storage or log says otherwise. */
  readonly configuration?: Configuration;
  /** Gives up the opening, however far it is: throws `CANCELLED`. Of no effect once the replica is open. */
  readonly signal?: AbortSignal;
  /** The term of proposed entries. By default the last one that is known, and 1 at first. A shared log has its own. */
  readonly term?: bigint;
  /**
   * Asked, when a leader says that it no longer has what comes next ({@linkcode Replica.notify}), or when it was purged
   * from a shared log, where to install a snapshot from; nothing if there is none. Absent: the replica takes no
   * notifications.
   */
  readonly onNotification?: (
    notification: InstallNotification,
    signal: AbortSignal,
  ) => NotifiedSources | undefined | Promise<NotifiedSources | undefined>;
}

/** Where to install a snapshot from. */
export interface NotifiedSources {
  /** The servers. */
  readonly sources: readonly Source[];
  /** How. */
  readonly options?: InstallOptions;
}
