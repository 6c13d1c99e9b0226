// What followers say they have holds the log for them: not for ever, whoever says it.

import { FakeClock } from "../support/fake_clock.ts";
import { assert, test } from "../support/harness.ts";
import { type Node, node, put, within } from "../support/log_nodes.ts";

const TIMEOUT = 600_000;
/** The most followers that are known at a time. */
const MOST = 1024;

/** A leader that saves when it is told to, and purges behind each save. */
function leading(work: (leader: Node, clock: FakeClock) => Promise<void>, safeIndexTimeout = TIMEOUT): Promise<void> {
  const clock = new FakeClock();
  return node("leader", {
    clock,
    triggers: { interval: 0, entries: 0 },
    purge: { gap: 1, safeIndexTimeout },
  }).then((leader) => within([leader], () => work(leader, clock)));
}

/** It takes ten proposals, and saves. */
async function save(leader: Node): Promise<void> {
  await put(leader, 10);
  await leader.replica.snapshot().result;
}

/** As a follower over HTTP says it. */
async function say({ source }: Node, follower: string, durable: bigint): Promise<void> {
  const query = new URLSearchParams({ follower, durable: String(durable) });
  const { status, body } = await source.fetch!(new Request(`http://leader/log?${query}`));
  await body?.cancel();
  assert.equal(status, 200);
}

const NAMES: Readonly<Record<string, (minute: number) => string>> = {
  "a name that does not move": () => "stuck",
  "ever new names": (minute) => `name ${minute}`,
};

for (const [kind, nameOf] of Object.entries(NAMES)) {
  test(`acknowledgements: ${kind}: an entry is held for twice the time-out at the most`, () =>
    leading(async (leader, clock) => {
      const held: bigint[] = [];
      for (let minute = 0; minute < 100; minute++) {
        await say(leader, nameOf(minute), 1n);
        await save(leader);
        held.push(leader.log.firstIndex);
        clock.advance(60_000);
      }
      assert.equal(held[8], 2n, "a follower that is behind is waited for");
      // Ten entries a minute, of which those of two saves stay in any case.
      const kept = held.slice(25).map((first, i) => 10n * BigInt(i + 26) - first);
      assert.isAtMost(Number(kept.reduce((a, b) => a > b ? a : b)), 10 * (2 * TIMEOUT / 60_000 + 2));
    }));
}

test("acknowledgements: a follower that lags, and keeps up, is never purged past", () =>
  leading(async (leader, clock) => {
    for (let minute = 0; minute < 100; minute++) {
      const durable = leader.log.lastIndex > 50n ? leader.log.lastIndex - 50n : 1n; // five minutes behind
      await say(leader, "slow", durable);
      await save(leader);
      assert.isAtMost(Number(leader.log.firstIndex), Number(durable) + 1);
      clock.advance(60_000);
    }
  }));

test("acknowledgements: with no time-out they hold for ever, as it says", () =>
  leading(async (leader, clock) => {
    for (let hour = 0; hour < 100; hour++) {
      await say(leader, "stuck", 1n);
      await save(leader);
      clock.advance(3_600_000);
    }
    assert.equal(leader.log.firstIndex, 2n);
  }, 0));

test("acknowledgements: new names take the place of nobody who speaks, and only of who is silent", () =>
  leading(async (leader, clock) => {
    const { log } = leader.replica;
    const isKnown = (name: string) => log!.followers!().some((follower) => follower.name === name);
    await say(leader, "honest", 1n);
    for (let i = 0; i < 2 * MOST; i++) log!.acknowledge(`name ${i}`, 1_000_000n);
    assert.isTrue(isKnown("honest"));
    assert.lengthOf(log!.followers!(), MOST);
    await save(leader);
    await save(leader);
    await save(leader);
    assert.equal(leader.log.firstIndex, 2n, "the log is held for the one that was here before");
    clock.advance(9000);
    await say(leader, "honest", 2n);
    clock.advance(1000);
    await say(leader, "late", 3n);
    assert.deepEqual([isKnown("honest"), isKnown("late"), isKnown("name 0")], [true, true, false]);
  }));
