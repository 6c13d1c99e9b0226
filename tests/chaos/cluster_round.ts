// A leader, two followers and a backup: promotions, kills, snapshots and a bad network, at random. Nothing that a promoted
// follower had is lost, nothing is applied twice or out of another history, and what a backup gives is what was.

import { hasCode, SnapshotError } from "../../mod.ts";
import { Backup, restoreBackup } from "../../src/backup.ts";
import { MemoryBucket } from "../../src/object.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { assert } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import { Member, type Put, stateOf, WatchedMachine } from "./cluster.ts";
import { type FaultCounts, Network } from "./network.ts";

/** What rounds gave, in all. */
export interface ClusterTotals {
  rounds: number;
  steps: number;
  promotions: number;
  kills: number;
  restores: number;
  /** Replicas that had entries which are in nobody else's history: named, and moved away. */
  parted: number;
  readonly faults: FaultCounts;
  /** Typed errors on the way, by code. */
  readonly errors: Record<string, number>;
}

/** Totals of nothing. */
export function noClusterTotals(): ClusterTotals {
  return { rounds: 0, steps: 0, promotions: 0, kills: 0, restores: 0, parted: 0, faults: {}, errors: {} };
}

/** Steps of a round. */
const STEPS = 12;

/**
 * Plays a round: in fake time, in which nobody waits.
 *
 * @throws if anything is not as it should be
 */
export async function playCluster(seed: number, totals: ClusterTotals, only?: "promotions"): Promise<void> {
  const random = new Random(seed);
  const badness = only === undefined ? random.pick([0, 0.1, 0.3, 0.6]) : 0;
  const round = new Round(random, badness, totals);
  try {
    await round.begin();
    for (let step = 0; step < STEPS; step++) {
      await round.step(only ?? random.pick(["promotions", "followers", "snapshot", "backup", "network", "propose"]));
      totals.steps++;
    }
    await round.settle();
  } finally {
    await round.end();
    totals.rounds++;
  }
}

type Step = "promotions" | "followers" | "snapshot" | "backup" | "network" | "propose";

class Round {
  readonly #random: Random;
  readonly #badness: number;
  readonly #network: Network;
  readonly #totals: ClusterTotals;
  readonly #members: readonly Member[];
  #leader: Member;
  #history: Put[] = [];
  #count = 0;
  #bucket = new MemoryBucket();
  #backup: Backup | undefined;
  /** The last entry that the backup was said to have. */
  #backedUp = 0n;

  constructor(random: Random, badness: number, totals: ClusterTotals) {
    this.#random = random;
    this.#badness = badness;
    this.#totals = totals;
    this.#network = new Network(random, badness, totals.faults);
    this.#members = ["a", "b", "c"].map((name) => new Member(name, this.#network));
    this.#leader = this.#members[0]!;
  }

  get #followers(): Member[] {
    return this.#members.filter((member) => member !== this.#leader);
  }

  async begin(): Promise<void> {
    for (const member of this.#members) await member.open();
    for (const member of this.#followers) this.#follow(member);
  }

  async end(): Promise<void> {
    await this.#backup?.close();
    for (const member of this.#members) await member.kill();
  }

  async step(what: Step): Promise<void> {
    const random = this.#random;
    if (what === "propose") return await this.#propose(random.below(40));
    if (what === "network") return void (this.#network.badness = random.chance(0.5) ? 0 : this.#badness);
    if (what === "promotions") return await this.#promote();
    if (what === "backup") return await this.#backUp();
    if (what === "snapshot") return void await random.pick(this.#members).replica.snapshot().result.catch(typed);
    const member = random.pick(this.#followers);
    if (random.chance(0.5)) return await this.#catchUp(member);
    await member.kill();
    this.#totals.kills++;
    await this.#propose(random.below(5));
    await member.open();
    this.#follow(member);
  }

  async #propose(times: number): Promise<void> {
    const { replica, machine } = this.#leader;
    for (let i = 0; i < times; i++) {
      const [key, value] = [`k${this.#random.below(50)}`, `v${this.#count++}`];
      const { index } = await replica.propose(machine.put(key, value));
      this.#history.push({ index, key, value });
    }
  }

  #follow(member: Member, onEvent: (event: FollowerEvent) => void = () => {}): void {
    const others = this.#followers.filter((other) => other !== member);
    member.follow([this.#leader, ...others], (event) => {
      onEvent(event);
      if (event.type !== "disconnected") return;
      if (!(event.error instanceof SnapshotError)) throw event.error;
      const { code } = event.error;
      this.#totals.errors[code] = (this.#totals.errors[code] ?? 0) + 1;
    });
  }

  /** Waits until a follower has all, if it is of this history. */
  async #catchUp(member: Member): Promise<void> {
    this.#network.badness = 0;
    await member.follower!.close();
    const { lastIndex } = this.#leader.replica.status();
    const settled = Promise.withResolvers<boolean>();
    this.#follow(member, (event) => {
      if (event.type === "disconnected" && hasCode(event.error, "STALE")) settled.resolve(false);
    });
    void member.follower!.caughtUp(lastIndex).then(() => settled.resolve(true), () => {});
    if (!await settled.promise) { // it has what is in nobody else's history: that is named, and moved away
      this.#totals.parted++;
      await member.kill();
      member.empty();
      await member.open();
      this.#follow(member);
      await member.follower!.caughtUp(lastIndex);
    }
    member.promised = lastIndex;
    member.check(this.#history);
    const { log } = this.#leader;
    assert.deepEqual(await member.log.digest(lastIndex), await log.digest(lastIndex), member.name);
    this.#network.badness = this.#badness;
  }

  /** Makes a follower the leader; what only the former one had is in no history any more. */
  async #promote(): Promise<void> {
    const random = this.#random;
    await this.#propose(random.below(20));
    if (random.chance(0.4)) await this.#leader.replica.snapshot().result;
    const chosen = random.pick(this.#followers);
    if (random.chance(0.5)) await this.#catchUp(chosen);
    if (random.chance(0.5)) { // what it does not get
      await chosen.follower!.close();
      await this.#propose(random.below(5));
    }
    const former = this.#leader;
    await this.#backup?.close();
    this.#backup = undefined;
    this.#backedUp = 0n; // it may have what the next leader does not have: until that has written to it
    const isKilled = random.chance(0.5);
    if (isKilled) await former.kill();
    const { index } = await chosen.follower!.promote();
    this.#totals.promotions++;
    const had = index - 1n;
    assert.isTrue(had >= chosen.promised, `${chosen.name} was promoted with ${had}, and had ${chosen.promised}`);
    this.#leader = chosen;
    this.#history = this.#history.filter((put) => put.index <= had);
    chosen.check(this.#history);
    await this.#propose(1 + random.below(5));
    if (!isKilled) await former.kill();
    this.#totals.kills++;
    former.promised = former.promised < had ? former.promised : had;
    await former.open();
    for (const member of this.#followers) {
      if (member.promised > had) member.promised = had;
      await member.follower?.close();
      this.#follow(member);
      await this.#catchUp(member);
    }
  }

  /** Backs up what the leader has; and sees that what is restored is that. */
  async #backUp(): Promise<void> {
    const { replica } = this.#leader;
    this.#backup ??= await Backup.start(replica, this.#bucket, { interval: 100 }).catch((error) => {
      if (!hasCode(error, "STALE")) throw error;
      this.#bucket = new MemoryBucket(); // it has what the former leader had alone
      return Backup.start(replica, this.#bucket, { interval: 100 });
    });
    await this.#propose(this.#random.below(10));
    if (this.#random.chance(0.7)) {
      const { lastIndex } = replica.status();
      await this.#backup.flush();
      this.#backedUp = lastIndex;
    }
    await this.#propose(this.#random.below(10));
    if (this.#random.chance(0.3)) await replica.snapshot().result;
    if (this.#backedUp === 0n) return; // there may be nothing yet
    const machine = new WatchedMachine();
    const { index } = await restoreBackup(machine, this.#bucket);
    assert.isTrue(index >= this.#backedUp, `Entry ${this.#backedUp} was backed up, and ${index} is restored`);
    assert.deepEqual([...machine.entries()].sort(), stateOf(this.#history, index), `restored to ${index}`);
    this.#totals.restores++;
  }

  /** All have all, in the end. */
  async settle(): Promise<void> {
    for (const member of this.#followers) await this.#catchUp(member);
  }
}

function typed(error: unknown): void {
  if (!(error instanceof SnapshotError)) throw error;
}
