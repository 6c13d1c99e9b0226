/**
 * The part of a log that its server needs.
 *
 * @module
 */

import type { EncodedBatch } from "./records.ts";

/** The state of a log that is served, and of the replica whose log it is. */
export interface LogStatus {
  /** The first entry that is left. */
  readonly first: bigint;
  /** The last entry that is durable; `first - 1` if there is none. */
  readonly last: bigint;
  /** The term of the last entry. */
  readonly term: bigint;
  /** The group, if it has one. */
  readonly group?: string | undefined;
  /** `"leader"` takes proposals; `"follower"` applies those of another; `"superseded"` has heard of a later leader. */
  readonly role: "leader" | "follower" | "superseded";
  /** The address of the leader, as far as it is known. */
  readonly leader?: string | undefined;
}

/** A follower of a log that is served. */
export interface KnownFollower {
  /** The name that it gave itself. */
  readonly name: string;
  /** The last entry that it has, durably. */
  readonly matchIndex: bigint;
  /** The time since it was heard of, in milliseconds. */
  readonly silence: number;
}

/** Answers requests for a log, over HTTP. */
export interface LogAnswers {
  /**
   * Answers `GET /log`: without `from` with the state, else with entries.
   *
   * @param request the request
   * @param mayAcknowledge whether the client is trusted so far that the log is kept for it
   * @throws {SnapshotError} `MALFORMED`, `NOT_FOUND`, `STALE`
   */
  get(request: Request, mayAcknowledge: boolean): Promise<Response>;
  /**
   * Answers `POST /log/leader`: somebody else leads now, in a later term.
   *
   * @param said the body
   * @throws {SnapshotError} `MALFORMED` if it says nothing of a leader
   */
  supersede(said: Uint8Array): Promise<Response> | Response;
}

/** A log that is served to followers. */
export interface ServedLog {
  /** Gives what answers requests for it. */
  answers(): LogAnswers;
  /** Its state now. */
  status(): LogStatus;
  /** See `LogStorage.digest`. */
  digest(index: bigint): Promise<Uint8Array | undefined>;
  /** The term of an entry, also of the one before the first; nothing if it is not known. */
  term(index: bigint): Promise<bigint | undefined>;
  /**
   * The entries from an index on, so many as make a batch; durable ones only.
   *
   * @param from the first
   * @param upTo the last that is wanted
   * @returns nothing if there is none yet
   * @throws {SnapshotError} `NOT_FOUND` if it was purged
   */
  batch(from: bigint, upTo?: bigint): Promise<EncodedBatch | undefined>;
  /**
   * Resolves once there is an entry behind an index, the log was closed, or the signal fires; whoever waits no longer
   * leaves nothing behind.
   */
  appended(index: bigint, signal?: AbortSignal): Promise<void>;
  /**
   * Notes what a follower has, durably: the log is kept for it.
   *
   * @param follower its name
   * @param index its last durable entry
   */
  acknowledge(follower: string, index: bigint): void;
  /** The followers that were heard of, the last one first, for a status. Absent where they are not known. */
  followers?(): readonly KnownFollower[];
  /**
   * Keeps the log behind an index, whatever the rules of its purge say.
   *
   * @param name who wants that
   * @param index the last entry that is not needed; absent to keep it no longer
   */
  hold(name: string, index: bigint | undefined): void;
  /**
   * Is told of another leader, by who may say so: this one takes no proposals any more, if its term is lower.
   *
   * @param term the term of the other
   * @param leader its address, if it is known
   */
  supersede(term: bigint, leader?: string): void;
}
