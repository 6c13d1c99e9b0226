/**
 * The log of a replica, as a handler serves it.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { EncodedBatch, KnownFollower, LogAnswers, LogStatus, LogStorage, ServedLog } from "../log/mod.ts";
import { withJson } from "../stream/mod.ts";
import { LogRoute } from "../transfer/server/mod.ts";
import type { Leadership } from "./leadership.ts";
import type { LogFeed } from "./log_feed.ts";
import type { LogFollowers } from "./log_followers.ts";

/** The parts of a replica whose log is served. */
export interface ReplicaLogParts {
  /** The log. */
  readonly log: LogStorage;
  /** Reads it. */
  readonly feed: LogFeed;
  /** Those for whom it is kept. */
  readonly followers: LogFollowers;
  /** The role of the replica. */
  readonly leadership: Leadership;
  /** Its group, if it has one. */
  group(): string | undefined;
}

/** Serves the log of a replica that has one of its own. */
export class ReplicaLog implements ServedLog {
  readonly #log: LogStorage;
  readonly #feed: LogFeed;
  readonly #followers: LogFollowers;
  readonly #leadership: Leadership;
  readonly #group: () => string | undefined;

  /** @param parts what it serves from */
  constructor({ log, feed, followers, leadership, group }: ReplicaLogParts) {
    this.#log = log;
    this.#feed = feed;
    this.#followers = followers;
    this.#leadership = leadership;
    this.#group = group;
  }

  answers(): LogAnswers {
    return new LogRoute(this);
  }

  status(): LogStatus {
    const { role, leader, term } = this.#leadership;
    const { firstIndex: first } = this.#log;
    return withJson({ first, last: this.#feed.last, term, group: this.#group(), role, leader });
  }

  async digest(index: bigint): Promise<Uint8Array | undefined> {
    if (this.#log.digest === undefined) {
      throw new SnapshotError("UNSUPPORTED", "This log knows no digest of its history, so it cannot be followed");
    }
    return await this.#feed.digest(index);
  }

  term(index: bigint): Promise<bigint | undefined> {
    return this.#log.term(index);
  }

  batch(from: bigint, upTo?: bigint): Promise<EncodedBatch | undefined> {
    return this.#feed.batch(from, upTo);
  }

  appended(index: bigint, signal?: AbortSignal): Promise<void> {
    return this.#feed.wait(index, signal);
  }

  acknowledge(follower: string, index: bigint): void {
    this.#followers.acknowledge(follower, index);
  }

  followers(): readonly KnownFollower[] {
    return this.#followers.named();
  }

  hold(name: string, index: bigint | undefined): void {
    this.#followers.hold(name, index);
  }

  supersede(term: bigint, leader?: string): void {
    this.#leadership.supersede(term, leader);
  }
}
