/**
 * Telling a follower that the log entries that it needs are gone: see `notification.ts`.
 *
 * @module
 */

import { checkOptions, checkSignal, duration } from "../../checks.ts";
import { hasCode, throwIfCancelled } from "../../errors.ts";
import { Operation, pause } from "../../async/mod.ts";
import { checkNotification, type InstallNotification, type NotificationReply } from "../notification.ts";
import { HttpSource, type Source } from "./http_source.ts";

/** Options of {@linkcode notifyInstall}. */
export interface NotifyOptions {
  /** Stops telling it; the follower continues. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The longest time that a request may take, in milliseconds.
   *
   * @default {15000}
   */
  readonly timeout?: number;
  /**
   * The wait before it is asked again, in milliseconds.
   *
   * @default {500}
   */
  readonly interval?: number;
}

/** The number of unanswered requests in a row after which it fails. */
const ATTEMPTS = 8;

/**
 * Tells a follower that the log before an index is gone, and asks it again until it has installed a snapshot, or has
 * none.
 *
 * @param follower its handler
 * @param notification what the leader says
 * @param options the signal, and the times
 * @returns work that gives the follower's last answer, whose `result` is not `IN_PROGRESS`, and whose progress is the
 *   follower's; fails with `UNAVAILABLE` or `TIMEOUT` if it does not answer, `FORBIDDEN`, `CANCELLED`
 */
export function notifyInstall(
  follower: Source,
  notification: InstallNotification,
  options: NotifyOptions = {},
): Operation<NotificationReply> {
  return new Operation(async (tracker) => {
    const { signal, timeout = 15_000, interval = 500 } = checkOptions(options, {
      signal: checkSignal,
      timeout: duration(),
      interval: duration(),
    });
    checkNotification(notification);
    const server = new HttpSource(follower, timeout);
    tracker.phase("notify");
    for (let failures = 0;;) {
      throwIfCancelled(signal);
      try {
        const reply = await server.notify(notification, signal);
        failures = 0;
        if (reply.progress !== undefined) tracker.set(reply.progress);
        if (reply.result !== "IN_PROGRESS") return reply;
      } catch (error) {
        throwIfCancelled(signal);
        if (!hasCode(error, "UNAVAILABLE", "TIMEOUT", "BUSY", "CLOSED") || ++failures >= ATTEMPTS) throw error;
      }
      await pause(interval, signal);
    }
  });
}
