/**
 * What a follower is told, and what it tells.
 *
 * @module
 */

import { checkFunction, type Checks, checkText, checkTimeout, withMembers } from "../checks.ts";
import type { SnapshotError } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import type { Source } from "../transfer/mod.ts";
import { pullChecks } from "../transfer/client/mod.ts";
import type { FsmCaller } from "./fsm_caller.ts";
import type { Leadership } from "./leadership.ts";
import type { InstallOptions } from "./receivers.ts";

/**
 * An event of a `Follower`.
 *
 * @category Replica
 */
export type FollowerEvent =
  /** A source is followed. */
  | { readonly type: "connected"; readonly source: string; readonly from: bigint }
  /** A source is not followed any more: another one is, or it is tried again. */
  | { readonly type: "disconnected"; readonly source: string; readonly error: unknown }
  /** The next entries were purged: a snapshot is installed. */
  | { readonly type: "installing"; readonly source: string; readonly first: bigint }
  /** All entries that the source is known to have were applied. */
  | { readonly type: "caughtUp"; readonly index: bigint }
  /** This replica leads now. */
  | { readonly type: "promoted"; readonly term: bigint; readonly index: bigint }
  /** A former source knows of this leader now. */
  | { readonly type: "told"; readonly source: string; readonly term: bigint };

/**
 * Options of `Replica.follow`.
 *
 * @category Replica
 */
export interface FollowOptions {
  /** The name under which the leader keeps its log for it; a random one by default. */
  readonly name?: string;
  /** Its own address, which it gives as the leader's once it is promoted. */
  readonly address?: string;
  /**
   * The longest silence of a source, in milliseconds. 0 for no limit.
   *
   * @default {10000}
   */
  readonly timeout?: number;
  /** Options of installs: a verifier, a throttle, limits. */
  readonly install?: Omit<InstallOptions, "signal" | "index">;
  /** Called with each event. Its errors are ignored. */
  readonly onEvent?: (event: FollowerEvent) => void;
}

/**
 * The state of a `Follower`.
 *
 * @category Replica
 */
export interface FollowerStatus {
  /** What it does. */
  readonly state: "connecting" | "following" | "installing" | "stopped";
  /** The source that it follows, or tries to. */
  readonly source: string | undefined;
  /** The last entry that was applied, which is durable here. */
  readonly appliedIndex: bigint;
  /** The last entry that the source is known to have. */
  readonly sourceIndex: bigint;
  /** How far behind it is. Not known, and 0, before a source has answered. */
  readonly lag: {
    /** Entries. */
    readonly entries: bigint;
    /** Bytes of their data, by the average of those that came. */
    readonly bytes: number;
    /** Milliseconds by the clock of the source since the last applied entry was appended; 0 if it is behind nothing. */
    readonly duration: number;
  };
  /** Why no source can be followed just now; it is retried. */
  readonly problem?: SnapshotError;
  /** Returns what `JSON.stringify` writes of it: indices as strings, errors as their code, message and fields. */
  toJSON(): Record<string, unknown>;
}

/** The surroundings of a `Follower`. */
export interface FollowerContext {
  /** The log of the replica. */
  readonly log: LogStorage;
  /** Applies its entries. */
  readonly fsm: FsmCaller;
  /** Its role. */
  readonly leadership: Leadership;
  /** Its group, if it has one. */
  group(): string | undefined;
  /** Sets what is called after each entry that was applied, and each snapshot that was loaded. */
  onMoved(listener: () => void): void;
  /** Appends entries of another replica, and applies them. */
  append(entries: readonly LogEntry[]): Promise<void>;
  /** Installs a snapshot. */
  install(sources: readonly Source[], options: InstallOptions): PromiseLike<unknown>;
  /** Appends the first entry of a term, which says that it has begun. */
  lead(term: bigint): Promise<LogEntry>;
}

/** Checks the options of a follower. */
export function followChecks(): Checks<FollowOptions> {
  const { signal: _, onManifest: __, ...install } = pullChecks();
  return {
    name: checkText,
    address: checkText,
    timeout: checkTimeout,
    install: withMembers<Omit<InstallOptions, "signal" | "index">>(
      { ...install, limits: () => {} } as Checks<Omit<InstallOptions, "signal" | "index">>,
    ),
    onEvent: checkFunction,
  };
}
