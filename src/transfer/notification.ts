/**
 * The messages of Ratis's notification mode (`notifyInstallSnapshot`): a leader tells a follower that the log entries
 * that it needs are gone, and the follower decides where to get a snapshot from.
 *
 * @module
 */

import {
  checkIndex,
  checkOptions,
  checkString,
  checkText,
  duration,
  listOf,
  MAX_INDEX,
  required,
  unfit,
  withMembers,
} from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkGroup } from "../snapshot/mod.ts";
import type { Progress } from "../async/mod.ts";
import { tellable } from "./wire.ts";

/** The longest name of a leader, in bytes. */
const MAX_LEADER = 255;
/** The most sources: each of them is asked, whoever names them. */
const MAX_SOURCES = 64;

/**
 * The message of a leader.
 *
 * @category Transfer
 * @see {@linkcode Replica}
 */
export interface InstallNotification {
  /** The leader's term. */
  readonly term: bigint;
  /** The first entry that the leader still has. */
  readonly firstAvailable: {
    /** Its index. */
    readonly index: bigint;
    /** Its term. */
    readonly term: bigint;
  };
  /** Who leads, as Ratis's `RoleInfoProto` says it to a follower. */
  readonly leader?: {
    /** Its name: 1 to 255 bytes of UTF-8. */
    readonly id: string;
    /**
     * The milliseconds since it was last heard from, for a notification that another node passes on; 0 if it says this
     * itself.
     */
    readonly silentFor: number;
  };
  /** The leader's group, if it has one: a replica of another group takes no notice. */
  readonly group?: string;
  /** Where the leader would get a snapshot from, as at most 64 addresses; the follower decides. */
  readonly sources?: readonly string[];
}

/**
 * The answers of a follower (Ratis's `InstallSnapshotResult`, by its names):
 *
 * | result | meaning |
 * |---|---|
 * | `IN_PROGRESS` | it is installing one; `progress` says how far |
 * | `SNAPSHOT_INSTALLED` | it has installed one since it was last asked: go on after `snapshotIndex` (`snapshotTerm`) |
 * | `ALREADY_INSTALLED` | it needs none: continue after `snapshotIndex`, of `snapshotTerm` |
 * | `SNAPSHOT_UNAVAILABLE` | it found none, or could not install it: see `reason`. It retries when notified again |
 * | `SNAPSHOT_EXPIRED` | it was told of a later entry already |
 * | `NOT_LEADER` | it was told of a later term |
 * | `CONF_MISMATCH` | it takes no notifications: push a snapshot to it; or, with a `reason`, it is of another group |
 *
 * @category Transfer
 * @see {@linkcode Replica}
 */
export type NotificationResult =
  | "IN_PROGRESS"
  | "SNAPSHOT_INSTALLED"
  | "ALREADY_INSTALLED"
  | "SNAPSHOT_UNAVAILABLE"
  | "SNAPSHOT_EXPIRED"
  | "NOT_LEADER"
  | "CONF_MISMATCH";

/**
 * The answer of a follower.
 *
 * @category Transfer
 * @see {@linkcode Replica}
 */
export interface NotificationReply {
  /** Its state. */
  readonly result: NotificationResult;
  /** The index of the last entry in its state, if a snapshot was installed or is not needed. */
  readonly snapshotIndex?: bigint;
  /** The term of that entry: a leader whose log has another one there sees that the two do not belong together. */
  readonly snapshotTerm?: bigint;
  /** The highest term that it was told of. */
  readonly term?: bigint;
  /** The progress of its install. */
  readonly progress?: Progress;
  /**
   * The reason why there is none, or it takes none. Over HTTP nothing is told of what its sources answered, nor of its
   * disk: whoever may notify could look around in its network.
   */
  readonly reason?: string;
  /** The error of which the reason is the message. It is not sent. */
  readonly cause?: unknown;
}

/** Checks a notification. */
export function checkNotification(notification: InstallNotification): InstallNotification {
  const number = required(checkIndex);
  return checkOptions(notification, {
    term: number,
    firstAvailable: required(withMembers<InstallNotification["firstAvailable"]>({ index: number, term: number })),
    leader: withMembers<NonNullable<InstallNotification["leader"]>>({
      id: required(checkLeader),
      silentFor: required(duration()),
    }),
    group: checkGroup,
    sources: checkSourceList,
  }, "notification");
}

/** Checks the sources. */
function checkSourceList(value: unknown, what: string): void {
  listOf(checkString)(value, what);
  if ((value as readonly string[]).length > MAX_SOURCES) throw unfit(what, `at most ${MAX_SOURCES} addresses`, value);
}

/** Checks the name of a leader. */
function checkLeader(value: unknown, what: string): void {
  const { length } = new TextEncoder().encode(checkText(value, what));
  if (length < 1 || length > MAX_LEADER) throw unfit(what, `a name of 1 to ${MAX_LEADER} bytes of UTF-8`, value);
}

/** A notification as JSON. */
export function notificationJson({ term, firstAvailable, leader, group, sources }: InstallNotification): unknown {
  return {
    term: String(term),
    firstAvailable: { index: String(firstAvailable.index), term: String(firstAvailable.term) },
    ...(leader !== undefined && { leader: { id: leader.id, silentFor: finite(leader.silentFor) } }),
    ...(group !== undefined && { group }),
    ...(sources !== undefined && { sources }),
  };
}

/** JSON has no infinity: one that was never heard from is silent for as long as can be said. */
function finite(ms: number): number {
  return Math.min(ms, Number.MAX_SAFE_INTEGER);
}

/**
 * Reads a notification.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function parseNotification(bytes: Uint8Array): InstallNotification {
  const { term, firstAvailable, leader, group, sources } = parseObject(bytes);
  const { index, term: entryTerm } = (firstAvailable ?? {}) as Record<string, unknown>;
  if (sources !== undefined) checkSourceList(sources, "sources");
  return {
    term: numberOf(term, "term"),
    firstAvailable: {
      index: numberOf(index, "firstAvailable.index"),
      term: numberOf(entryTerm, "firstAvailable.term"),
    },
    ...(leader !== undefined && { leader: leaderOf(leader) }),
    ...(group !== undefined && { group: checkGroup(group) }),
    ...(sources !== undefined && { sources: sources as string[] }),
  };
}

function leaderOf(value: unknown): NonNullable<InstallNotification["leader"]> {
  const { id, silentFor } = (value ?? {}) as Record<string, unknown>;
  checkLeader(id, "leader.id");
  if (typeof silentFor !== "number" || !(silentFor >= 0)) throw wrong("leader.silentFor");
  return { id: id as string, silentFor };
}

/** A reply as JSON. */
export function replyJson({ snapshotIndex, snapshotTerm, term, cause, ...reply }: NotificationReply): unknown {
  return {
    ...reply,
    ...(cause !== undefined && { reason: tellable(cause) }),
    ...(snapshotIndex !== undefined && { snapshotIndex: String(snapshotIndex) }),
    ...(snapshotTerm !== undefined && { snapshotTerm: String(snapshotTerm) }),
    ...(term !== undefined && { term: String(term) }),
  };
}

const RESULTS: readonly string[] = [
  ...["IN_PROGRESS", "SNAPSHOT_INSTALLED", "ALREADY_INSTALLED", "SNAPSHOT_UNAVAILABLE", "SNAPSHOT_EXPIRED"],
  ...["NOT_LEADER", "CONF_MISMATCH"],
];

/**
 * Reads a reply.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function parseReply(bytes: Uint8Array): NotificationReply {
  const { result, snapshotIndex, snapshotTerm, term, progress, reason } = parseObject(bytes);
  if (!RESULTS.includes(String(result))) throw wrong("result");
  return {
    result: result as NotificationResult,
    ...(snapshotIndex !== undefined && { snapshotIndex: numberOf(snapshotIndex, "snapshotIndex") }),
    ...(snapshotTerm !== undefined && { snapshotTerm: numberOf(snapshotTerm, "snapshotTerm") }),
    ...(term !== undefined && { term: numberOf(term, "term") }),
    ...(progress !== undefined && { progress: progressOf(progress) }),
    ...(typeof reason === "string" && { reason: reason.slice(0, 1000) }),
  };
}

function progressOf(value: unknown): Progress {
  const { phase, bytes, total, chunks, reused, rate } = (value ?? {}) as Record<string, unknown>;
  const count = (value: unknown) => typeof value === "number" && value >= 0 ? value : 0;
  return {
    phase: typeof phase === "string" ? phase.slice(0, 100) : "",
    bytes: count(bytes),
    ...(total !== undefined && { total: count(total) }),
    chunks: count(chunks),
    reused: count(reused),
    rate: count(rate),
  };
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new SnapshotError("MALFORMED", "This is no notification, and no answer to one: it is not a JSON object");
}

function numberOf(value: unknown, what: string): bigint {
  if (typeof value !== "string" || !/^[0-9]{1,19}$/.test(value)) throw wrong(what);
  const number = BigInt(value);
  if (number > MAX_INDEX) throw wrong(what);
  return number;
}

function wrong(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `A notification, or an answer to one, is not right: its ${what}`);
}

/** Addresses at which clouds answer the machine itself with its credentials, beside link-local ones. */
const METADATA_ADDRESSES = /^(100\.100\.100\.200|192\.0\.0\.192|\[fd00:ec2::254\]|\[fd20:ce::254\])$/;
/** Names of the same. */
const METADATA_NAMES = /(^|\.)(metadata|instance-data)(\.google\.internal|\.ec2\.internal|\.tencentyun\.com)?$/;
/** Names that have a link-local address in them: there are public services that answer with that address. */
const NAMES_WITH_ADDRESS = /(^|[.-])169[.-]254[.-]\d{1,3}[.-]\d{1,3}([.-]|$)|(^|[.-])a9fe[0-9a-f]{4}([.-]|$)/;

/**
 * Reports whether a server of snapshots may be at an address, where nothing else was said: any but those at which
 * clouds answer the machine itself with its credentials (link-local ones, and names of them), and those that carry a
 * password. What a name leads to is looked at in `server/names.ts`.
 */
export function isUsual({ hostname, username, password }: URL): boolean {
  const host = hostname.toLowerCase().replace(/\.$/, "");
  if (username !== "" || password !== "") return false;
  const isLinkLocal = /^169\.254\.|^\[fe[89ab]|^\[::(ffff:(0:)?)?a9fe:|^\[64:ff9b::a9fe:/.test(host);
  return !isLinkLocal && ![METADATA_ADDRESSES, METADATA_NAMES, NAMES_WITH_ADDRESS].some((they) => they.test(host));
}

/**
 * Refuses a notification that names a source at which no server of snapshots is: who follows it would send requests
 * there.
 *
 * @throws {SnapshotError} `FORBIDDEN`
 */
export function checkSources({ sources = [] }: InstallNotification, isAllowed: (source: URL) => boolean): void {
  for (const [i, source] of sources.entries()) {
    const url = URL.canParse(source) ? new URL(source) : undefined;
    const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
    if (isWeb && isAllowed(url!) === true) continue; // a promise, of one that is async, is not true
    throw new SnapshotError(
      "FORBIDDEN",
      `Source ${i + 1} of the notification is not one that is asked here: name servers of the group, by http or https`,
      { status: 403 },
    );
  }
}
