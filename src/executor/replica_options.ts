/**
 * The options of a replica.
 *
 * @module
 */

import type { LogStorage, SharedLog } from "../log/mod.ts";
import type { SnapshotStorage, SnapshotVerifier } from "../snapshot/mod.ts";
import type { Configuration, StateMachine } from "../state/mod.ts";
import type { InstallNotification, Source } from "../transfer/mod.ts";
import type { ExecutorOptions } from "./options.ts";
import type { InstallOptions } from "./receivers.ts";

/**
 * Options of {@linkcode Replica.open}.
 *
 * @category Replica
 */
export interface ReplicaOptions<M extends StateMachine> extends ExecutorOptions {
  /**
   * The state machine. Storage and log are loaded into it and applied: it must be new, or say by `durable` what it has.
   * A `StoredState` is used by its `machine`, or by `apply` and `durable`.
   */
  readonly machine: M;
  /**
   * The log: its own, or one that it shares with other replicas. Closed with the replica, or when that cannot be
   * opened.
   */
  readonly log: LogStorage | SharedLog;
  /** The storage of snapshots. Closed with the replica, or when that cannot be opened. */
  readonly storage: SnapshotStorage;
  /**
   * The name of its group, which is all replicas that apply the same log; 1 to 255 bytes of UTF-8 without NUL.
   * Snapshots carry it, and those of another group are refused (`FORBIDDEN`), whatever their source, before anything is
   * replaced. By default the storage's, that of the newest snapshot which has one, or the log's: see the table in
   * `snapshot/group.ts`.
   */
  readonly group?: string;
  /**
   * Says whose snapshots the machine may be loaded from: what is installed, from wherever, and what lies in the
   * storage, which may be one that has no `verifier` itself. One that is not trusted is `FORBIDDEN`; it
   * neither counts nor is it moved. With it, what is saved here needs a `signer` of the storage that it trusts. By
   * default all are trusted that the storage trusts.
   */
  readonly verifier?: SnapshotVerifier;
  /** The members of the group, as long as nothing in storage or log says otherwise. */
  readonly configuration?: Configuration;
  /** Cancels the opening at any point: throws `CANCELLED`. Of no effect once the replica is open. */
  readonly signal?: AbortSignal;
  /** The term of proposed entries. By default the last one that is known, and 1 at first. A shared log has its own. */
  readonly term?: bigint;
  /**
   * The handlers of replicas that may have been promoted while this one was away. They are asked at the opening: if one
   * knows of a higher term, this replica takes no proposals (`STALE`). The others are not waited for long.
   */
  readonly followers?: readonly Source[];
  /**
   * Returns the sources to install a snapshot from; nothing if there are none. Called when a leader says that it no
   * longer has the next entries ({@linkcode Replica.notify}), or when they were purged from a shared log. Absent: the
   * replica takes no notifications.
   */
  readonly onNotification?: (
    notification: InstallNotification,
    signal: AbortSignal,
  ) => NotifiedSources | undefined | Promise<NotifiedSources | undefined>;
}

/**
 * Sources to install a snapshot from.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface NotifiedSources {
  /** The servers. */
  readonly sources: readonly Source[];
  /** Options of the install. */
  readonly options?: InstallOptions;
}
