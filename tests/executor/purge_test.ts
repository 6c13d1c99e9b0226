import fc from "fast-check";
import type { Member, PurgeOptions } from "../../mod.ts";
import { purgeIndex, type PurgeState } from "../../src/extend.ts";
import { assert, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

const NOW = 10_000_000;
const MINUTE = 60_000;
/** A log of 1 to 10000, snapshots at 5000 and 8000. */
const state: PurgeState = {
  snapshotIndex: 8000n,
  oldestSnapshot: 5000n,
  firstIndex: 1n,
  lastIndex: 10_000n,
  now: NOW,
};

function at(matchIndex: bigint, lastSeen = NOW): Member {
  return { matchIndex, lastSeen };
}

const rules: [rule: string, changed: Partial<PurgeState>, options: PurgeOptions, expected: bigint | undefined][] = [
  // braft's lag-one: with two retained, up to the last but one, and not behind the first.
  ["up to the oldest snapshot that is kept", {}, {}, 5000n],
  ["nothing as long as there are too few snapshots", { oldestSnapshot: 0n }, {}, undefined],
  ["nothing without a snapshot", { snapshotIndex: 0n, oldestSnapshot: 0n }, {}, undefined],
  ["up to the snapshot if one is kept", { oldestSnapshot: 8000n }, {}, 8000n],
  ["not beyond a snapshot that is not known to be durable", { snapshotIndex: 4000n }, {}, 4000n],

  // Ratis: the lower of the snapshot and the commit index of every peer.
  ["a member that is behind holds it back", {}, { members: () => [at(9000n), at(3000n)] }, 3000n],
  ["a member that is ahead does not", {}, { members: () => [at(9000n)] }, 5000n],
  ["no members hold nothing back", {}, { members: () => [] }, 5000n],
  ["a member of which nothing is known holds back all", {}, { members: () => [at(0n)] }, undefined],
  ["unless the log is purged up to the snapshot", {}, { members: () => [at(0n)], upToSnapshotIndex: true }, 5000n],

  // In Ratis a dead peer holds it back for ever.
  ["a member not heard of for nine minutes", {}, { members: () => [at(3000n, NOW - 9 * MINUTE)] }, 3000n],
  ["a member not heard of for ten", {}, { members: () => [at(3000n, NOW - 10 * MINUTE)] }, 5000n],
  ["no time-out", {}, { members: () => [at(3000n, -1e12)], safeIndexTimeout: 0 }, 3000n],
  ["a time-out of one's own", {}, { members: () => [at(3000n, NOW - 5)], safeIndexTimeout: 5 }, 5000n],
  ["one alive, one dead", {}, { members: () => [at(2000n, 0), at(3000n)] }, 3000n],
  ["a clock that was set back", {}, { members: () => [at(3000n, NOW + MINUTE)] }, 3000n],

  // purge.preservation.log.num
  ["entries that are kept in any case", {}, { preserve: 7000 }, 3000n],
  ["fewer than the snapshot keeps", {}, { preserve: 1000 }, 5000n],
  ["more than there are", {}, { preserve: 20_000 }, undefined],
  ["all of them", {}, { preserve: Infinity }, undefined],

  // purge.gap
  ["one short of the gap", { oldestSnapshot: 1023n }, {}, undefined],
  ["the gap exactly", { oldestSnapshot: 1024n }, {}, 1024n],
  ["the gap counts from the first entry there is", { firstIndex: 4000n }, {}, undefined],
  ["and the gap exactly", { firstIndex: 3977n }, {}, 5000n],
  ["a gap of one", { firstIndex: 5000n }, { gap: 1 }, 5000n],
  ["a gap of none", { firstIndex: 5000n }, { gap: 0 }, 5000n],
  ["a gap that is never reached", {}, { gap: Infinity }, undefined],
  ["what is purged already", { firstIndex: 5001n }, { gap: 0 }, undefined],
  ["what is purged far beyond", { firstIndex: 9000n }, { gap: 0 }, undefined],
  [
    "the highest indices",
    { snapshotIndex: 2n ** 63n - 1n, oldestSnapshot: 2n ** 63n - 2n, firstIndex: 2n ** 63n - 3000n },
    {},
    2n ** 63n - 2n,
  ],
];

for (const [rule, changed, options, expected] of rules) {
  test(`purge: ${rule}`, () => assert.equal(purgeIndex({ ...state, ...changed }, options), expected));
}

test("purge: never beyond any limit, and as far as they all allow", () => {
  const index = fc.bigInt(0n, 5000n);
  const states = fc.record({
    snapshotIndex: index,
    oldestSnapshot: index,
    firstIndex: fc.bigInt(1n, 5000n),
    lastIndex: index,
    now: fc.constant(NOW),
  });
  const options = fc.record({
    upToSnapshotIndex: fc.boolean(),
    preserve: fc.nat(3000),
    gap: fc.nat(2000),
    safeIndexTimeout: fc.nat(1000),
    members: fc.array(fc.record({ matchIndex: index, lastSeen: fc.integer({ min: NOW - 2000, max: NOW }) })),
  });
  fc.assert(
    fc.property(states, options, (state, { members, ...rest }) => {
      const { upToSnapshotIndex, preserve, gap, safeIndexTimeout } = rest;
      const limits = [state.snapshotIndex, state.oldestSnapshot];
      if (preserve > 0) limits.push(state.lastIndex - BigInt(preserve));
      for (const { matchIndex, lastSeen } of members) {
        if (!upToSnapshotIndex && (safeIndexTimeout === 0 || NOW - lastSeen < safeIndexTimeout)) {
          limits.push(matchIndex);
        }
      }
      const purged = purgeIndex(state, { ...rest, members: () => members });
      const allowed = limits.every((limit) => limit - state.firstIndex + 1n >= BigInt(Math.max(gap, 1)));
      assert.equal(purged !== undefined, allowed);
      if (purged === undefined) return;
      for (const limit of limits) assert.isTrue(purged <= limit);
      assert.isTrue(limits.includes(purged));
    }),
    { numRuns: runs(3000) },
  );
});
