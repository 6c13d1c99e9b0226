// Leaders, followers and promotions at random: nothing that a promoted follower had is lost, and no history is mixed.

import {
  hasCode,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SnapshotHandler,
  snapshotHandler,
  type SourceOptions,
  utf8Codec,
} from "../../mod.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { assert, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { Random } from "../support/random.ts";

/** Promotions of a run. */
const PROMOTIONS = Number(globalThis.Deno?.env.get("PROMOTIONS") ?? 25);

class Member {
  readonly name: string;
  readonly source: SourceOptions;
  log = new MemoryLog();
  storage = new MemoryStorage();
  machine = new KeyValueMachine(utf8Codec());
  replica!: Replica<KeyValueMachine<string>>;
  #handler: SnapshotHandler | undefined;

  constructor(name: string) {
    this.name = name;
    const refused = () => Promise.reject(new TypeError("connection refused"));
    this.source = { url: `http://${name}`, fetch: (request) => this.#handler?.(request) ?? refused() };
  }

  /** Opens it: with what it had, as far as that is durable. */
  async open(): Promise<void> {
    this.machine = new KeyValueMachine(utf8Codec());
    const { machine, log } = this;
    const storage = overriding(this.storage, { close: () => Promise.resolve() });
    const purge = { gap: 1, upToSnapshotIndex: "newest" as const };
    this.replica = await Replica.open({ machine, log, storage, purge });
    this.#handler = snapshotHandler(this.storage, { target: this.replica, allowWrites: true });
  }

  /** Ends it; its memory stays, as a disk would. */
  async kill(): Promise<void> {
    const handler = this.#handler;
    this.#handler = undefined;
    await handler?.close();
    await this.replica.close();
  }

  /** Moves what it had away. */
  empty(): void {
    this.log = new MemoryLog();
    this.storage = new MemoryStorage();
  }
}

test(`${PROMOTIONS} promotions: one history, and nothing lost that the promoted one had`, async () => {
  const random = new Random(7);
  const members = ["a", "b", "c"].map((name) => new Member(name));
  for (const member of members) await member.open();
  let leader = members[0]!;
  /** The value of each key, as the one history has it, by the index of the entry that set it. */
  let history: { readonly index: bigint; readonly key: string; readonly value: string }[] = [];
  const following = new Map<Member, ReturnType<Replica<KeyValueMachine<string>>["follow"]>>();
  const follow = (member: Member, onEvent: (event: FollowerEvent) => void = () => {}) => {
    const sources = [leader, ...members.filter((other) => other !== leader && other !== member)];
    const follower = member.replica.follow(sources.map(({ source }) => source), { onEvent, timeout: 0 });
    following.set(member, follower);
    return follower;
  };
  for (const member of members) if (member !== leader) follow(member);
  let count = 0;
  const propose = async (times: number) => {
    for (let i = 0; i < times; i++) {
      const [key, value] = [`k${random.below(50)}`, `v${count++}`];
      const { index } = await leader.replica.propose(leader.machine.put(key, value));
      history.push({ index, key, value });
    }
  };
  const check = (member: Member) => {
    const applied = member.replica.status().appliedIndex;
    const expected = new Map<string, string>();
    for (const { index, key, value } of history) if (index <= applied) expected.set(key, value);
    assert.deepEqual([...member.machine.entries()].sort(), [...expected].sort(), `${member.name} at ${applied}`);
  };
  let named = 0;
  for (let promotions = 0; promotions < PROMOTIONS; promotions++) {
    await propose(random.below(20));
    if (random.chance(0.4)) await leader.replica.snapshot().result;
    const others = members.filter((member) => member !== leader);
    const chosen = random.pick(others);
    if (random.chance(0.5)) await following.get(chosen)!.caughtUp(leader.replica.status().lastIndex);
    if (random.chance(0.5)) { // what the others do not get
      await following.get(chosen)!.close();
      await propose(random.below(5));
    }
    const former = leader;
    const isKilled = random.chance(0.5);
    if (isKilled) await former.kill();
    await following.get(chosen)!.promote();
    leader = chosen;
    const had = leader.replica.status().appliedIndex - 1n;
    history = history.filter(({ index }) => index <= had);
    check(leader);
    await propose(1 + random.below(5));
    if (!isKilled) await former.kill();
    await former.open();
    for (const member of members) {
      if (member === leader) continue;
      if (member !== former) await following.get(member)!.close();
      const settled = Promise.withResolvers<boolean>();
      const follower = follow(member, (event) => {
        if (event.type === "disconnected" && hasCode(event.error, "STALE")) settled.resolve(false);
      });
      const { lastIndex } = leader.replica.status();
      void follower.caughtUp(lastIndex).then(() => settled.resolve(true), () => {});
      if (!await settled.promise) { // it has what is in nobody else's history: that is named, and moved away
        named++;
        await member.kill();
        member.empty();
        await member.open();
        await follow(member).caughtUp(lastIndex);
      }
      check(member);
      assert.deepEqual(await member.log.digest(lastIndex), await leader.log.digest(lastIndex), member.name);
    }
  }
  assert.isAbove(named, 0, "some histories were others");
  for (const member of members) await member.kill();
});
