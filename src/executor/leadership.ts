/**
 * The replica that takes proposals. There is one writer: terms say which, and nothing here elects one.
 *
 * | role | takes proposals | becomes another by |
 * |---|---|---|
 * | leader | yes | `follow`; the word of who may speak as the leader, or of its followers at an opening: superseded |
 * | follower | no | `promote`: leader, in a higher term |
 * | superseded | no, until it is opened anew | `follow` |
 *
 * @module
 */

import { type Backoff, backoff, pause } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { LogSource, type Source } from "../transfer/mod.ts";

/** The longest that an opening waits for its followers, in milliseconds. */
const ASK_TIMEOUT = 3000;

/** The term of a leader that nobody was before. */
export const FIRST_TERM = 1n;

/** The role of a replica. */
export type Role = "leader" | "follower" | "superseded";

/** Keeps the role of a replica. */
export class Leadership {
  readonly #ownTerm: () => bigint;
  #role: Role = "leader";
  #leader: string | undefined;
  /** The highest term that was heard of from who may say so. */
  #heard = 0n;

  /**
   * Begins as the leader.
   *
   * @param ownTerm the term of the last entry here
   */
  constructor(ownTerm: () => bigint) {
    this.#ownTerm = ownTerm;
  }

  /** The role. */
  get role(): Role {
    return this.#role;
  }

  /** The address of the leader, as far as it is known. */
  get leader(): string | undefined {
    return this.#leader;
  }

  /** The highest term that is known. */
  get term(): bigint {
    const own = this.#ownTerm();
    return own > this.#heard ? own : this.#heard;
  }

  /** The term in which this one can lead: above that of a first leader, though nothing was heard of it. */
  get next(): bigint {
    return (this.term > FIRST_TERM ? this.term : FIRST_TERM) + 1n;
  }

  /** Notes that another one is followed. */
  follow(leader: string | undefined): void {
    this.#role = "follower";
    this.#leader = leader;
  }

  /** Notes a term of which one that is followed knows. */
  hear(term: bigint): void {
    if (term > this.#heard) this.#heard = term;
  }

  /**
   * Leads. If the first entry cannot be appended it follows as before: nobody was told, and another may be promoted.
   *
   * @param append appends that entry
   */
  async lead<T>(append: () => Promise<T>): Promise<T> {
    const leader = this.#leader;
    this.#role = "leader";
    this.#leader = undefined;
    try {
      return await append();
    } catch (error) {
      if (this.#role === "leader") this.follow(leader);
      throw error;
    }
  }

  /** Is told of another leader; a term that is not higher changes nothing. */
  supersede(term: bigint, leader: string | undefined): void {
    if (term <= this.term) return;
    this.#heard = term;
    this.#leader = leader;
    if (this.#role === "leader") this.#role = "superseded";
  }

  /**
   * Refuses a proposal that belongs elsewhere.
   *
   * @throws {SnapshotError} `FORBIDDEN` at a follower, `STALE` at one that was superseded; `source` is the leader
   */
  check(): void {
    if (this.#role === "leader") return;
    const leader = this.#leader;
    const where = leader === undefined ? "the leader, whose address is not known here" : leader;
    const fields = leader === undefined ? {} : { source: leader };
    if (this.#role === "follower") {
      throw new SnapshotError("FORBIDDEN", `This replica follows another and takes no proposals: propose to ${where}`, {
        ...fields,
      });
    }
    throw new SnapshotError(
      "STALE",
      `Another replica leads in term ${this.#heard}, and this one, whose term is ${this.#ownTerm()}, takes no ` +
        `proposals any more: propose to ${where}`,
      { ...fields, expected: this.#heard, actual: this.#ownTerm() },
    );
  }
}

/**
 * Asks followers whether one of them leads by now, for a replica that was away.
 *
 * @param leadership learns of a higher term
 * @param followers the followers; those that do not answer in time are not waited for
 * @param signal cancels it
 */
export async function askFollowers(
  leadership: Leadership,
  followers: readonly Source[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (followers.length === 0) return;
  const asking = followers.map(async (follower) => {
    const source = new LogSource(follower, ASK_TIMEOUT);
    const { term, role, leader } = await source.status(signal);
    leadership.supersede(term, role === "leader" ? source.url : leader);
  });
  await pause(ASK_TIMEOUT, signal, Promise.allSettled(asking));
}

/** The waits before a former leader is told again that it is one. */
const TELL: Backoff = { first: 500, longest: 30_000, jitter: [0.75, 1.25] };

/**
 * Tells a former leader, or one of its followers, who leads: until it has heard it.
 *
 * @param source who is told
 * @param term the term of the new leader
 * @param address its address, if it has one
 * @param signal ends it
 * @param onTold called once it has heard it
 */
export async function tellLeader(
  source: LogSource,
  term: bigint,
  address: string | undefined,
  signal: AbortSignal,
  onTold: () => void,
): Promise<void> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      const { term: known, role } = await source.supersede(term, address, signal);
      // One that was promoted at the same time leads in the same term: it goes on leading, and heard nothing.
      if (known > term || known === term && role !== "leader") return onTold();
    } catch {
      // It does not answer, or does not take this one's word: its operator may change that.
    }
    await pause(backoff(tries, TELL), signal).catch(() => {});
  }
}
