/**
 * Telling a follower that the log entries that it needs are gone: see `notification.ts`.
 *
 * @module
 */

import { checkOptions, checkSignal, checkTimeout, duration } from "../../checks.ts";
import { throwIfCancelled } from "../../errors.ts";
import { Operation, pause } from "../../async/mod.ts";
import {
  checkNotification,
  type InstallNotification,
  notificationJson,
  type NotificationReply,
  parseReply,
} from "../notification.ts";
import { withJson } from "../../stream/mod.ts";
import { JSON_TYPE, readAnswer, responseError } from "../wire.ts";
import { HttpSource } from "./http_source.ts";
import { RETRY_FOR, RetryBudget } from "./retry_budget.ts";
import type { Source } from "./source.ts";

/** The longest answer to a notification, in bytes. */
const MAX_REPLY = 64 * 1024;

/**
 * Options of {@linkcode notifyInstall}.
 *
 * @category Transfer
 * @see {@linkcode Replica}
 */
export interface NotifyOptions {
  /** Stops telling it; the follower continues. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The longest time for which the follower may send nothing, in milliseconds. 0 for no limit.
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
  /**
   * The time for which the follower may fail in a row, in milliseconds; 0 for no retry.
   *
   * @default {15000}
   */
  readonly retryFor?: number;
}

/**
 * Tells a follower that the log before an index is gone, and asks it again until it has installed a snapshot, or has
 * none.
 *
 * @category Transfer
 * @see {@linkcode Replica}
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
    const { signal, timeout = 15_000, interval = 500, retryFor = RETRY_FOR } = checkOptions(options, {
      signal: checkSignal,
      timeout: checkTimeout,
      interval: duration(),
      retryFor: duration(),
    });
    checkNotification(notification);
    const server = new HttpSource(follower, timeout);
    tracker.phase("notify");
    const budget = new RetryBudget(retryFor);
    for (;;) {
      throwIfCancelled(signal);
      let wait = interval;
      try {
        const reply = await tell(server, notification, signal);
        budget.succeeded();
        if (reply.progress !== undefined) tracker.set(reply.progress);
        if (reply.result !== "IN_PROGRESS") return reply;
      } catch (error) {
        throwIfCancelled(signal);
        const asked = budget.failedAlone(error);
        if (asked === undefined) throw error;
        wait = asked;
      }
      await pause(wait, signal);
    }
  });
}

/** Says that the log before an index is gone, once. */
async function tell(
  server: HttpSource,
  notification: InstallNotification,
  signal: AbortSignal | undefined,
): Promise<NotificationReply> {
  const body = JSON.stringify(notificationJson(notification));
  const init = { method: "POST", body, headers: { "Content-Type": JSON_TYPE } };
  return await server.exchange("/snapshots/notification", init, signal, async (response, watch) => {
    if (response.status !== 200) throw await responseError(response, server.url, watch);
    const decode = (bytes: Uint8Array) => withJson(parseReply(bytes));
    return await readAnswer(response, server.url, "an answer to a notification", MAX_REPLY, watch, decode);
  });
}
