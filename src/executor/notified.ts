/**
 * The follower's side of Ratis's notification mode: it is told that the log before an index is gone, and installs a
 * snapshot from a source of its choice. It never gets stuck: a failure is reported once, and the install is retried at
 * the next notification (Ratis: RATIS-873, 987, 1417).
 *
 * @module
 */

import { messageOf } from "../errors.ts";
import type { SnapshotInfo, SnapshotStorage } from "../snapshot/mod.ts";
import { Operation, raceAbort } from "../async/mod.ts";
import type { InstallNotification, NotificationReply } from "../transfer/mod.ts";
import type { FsmCaller } from "./fsm_caller.ts";
import { follow } from "./receivers.ts";

/**
 * Begins to install a snapshot; gives nothing if it finds no source. The signal limits the search for one. The install
 * is a member of what it gives: a promise of the operation itself would be one of its result.
 */
export type NotificationInstaller = (
  notification: InstallNotification,
  signal: AbortSignal,
) => Promise<{ readonly install: Operation<SnapshotInfo> } | undefined>;

/** The longest search for sources, in milliseconds. */
const LOOK_TIMEOUT = 60_000;

/** Installs snapshots when it is notified, one at a time. */
export class NotifiedInstall {
  readonly #fsm: FsmCaller;
  readonly #storage: SnapshotStorage;
  readonly #install: NotificationInstaller;
  /** The highest first entry that was said while this install is running. */
  #first = 0n;
  #running: Operation<SnapshotInfo | undefined> | undefined;
  /** The outcome of the last install, reported once, at the next notification. */
  #outcome: NotificationReply | undefined;

  /**
   * @param fsm has the last entry that was applied
   * @param storage has the group of the replica
   * @param install installs a snapshot
   */
  constructor(fsm: FsmCaller, storage: SnapshotStorage, install: NotificationInstaller) {
    this.#fsm = fsm;
    this.#storage = storage;
    this.#install = install;
  }

  /**
   * Answers a notification at once; an install that is needed runs in the background.
   *
   * @param notification the leader's notification
   */
  notify(notification: InstallNotification): NotificationReply {
    const { term, firstAvailable: { index: first }, group } = notification;
    const own = this.#storage.group;
    if (group !== undefined && own !== undefined && group !== own) { // neither its index nor its term count here
      const reason = `This is a replica of group ${JSON.stringify(own)}, not of ${JSON.stringify(group)}`;
      return { result: "CONF_MISMATCH", reason };
    }
    // Terms count once they are in the state: a word does not raise them, or a false one would dethrone the leader.
    const { index: applied, term: known } = this.#fsm.applied;
    if (term < known) return { result: "NOT_LEADER", term: known };
    if (this.#running !== undefined) {
      if (first < this.#first) return { result: "SNAPSHOT_EXPIRED", term };
      this.#first = first;
      return { result: "IN_PROGRESS", term, progress: this.#running.progress };
    }
    const outcome = this.#outcome;
    this.#outcome = undefined;
    if (outcome?.result === "SNAPSHOT_INSTALLED") return { ...outcome, term };
    if (applied + 1n >= first) {
      return { result: "ALREADY_INSTALLED", snapshotIndex: applied, snapshotTerm: known, term };
    }
    if (outcome !== undefined) return { ...outcome, term };
    this.#first = first;
    const running = this.#running = this.#start(notification);
    return { result: "IN_PROGRESS", term, progress: running.progress };
  }

  #start(notification: InstallNotification): Operation<SnapshotInfo | undefined> {
    return new Operation(async (tracker) => {
      try {
        const looking = AbortSignal.timeout(LOOK_TIMEOUT);
        tracker.phase("look");
        const found = await raceAbort(this.#install(notification, looking), looking);
        if (found === undefined) {
          this.#outcome = { result: "SNAPSHOT_UNAVAILABLE", reason: "There is no source to install a snapshot from" };
          return undefined;
        }
        const snapshot = await follow(found.install, tracker);
        const { lastIncludedIndex: snapshotIndex, lastIncludedTerm: snapshotTerm } = snapshot.meta;
        this.#outcome = { result: "SNAPSHOT_INSTALLED", snapshotIndex, snapshotTerm };
        return snapshot;
      } catch (error) {
        this.#outcome = { result: "SNAPSHOT_UNAVAILABLE", reason: messageOf(error), cause: error };
        return undefined;
      } finally {
        this.#running = undefined;
      }
    });
  }
}
