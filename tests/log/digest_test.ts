// The digest of a log's history, whatever is purged, appended and asked for at the same time.

import type { LogEntry } from "../../mod.ts";
import { MemoryLog } from "../../mod.ts";
import { baseDigest, LogChain } from "../../src/log/chain.ts";
import { purged } from "../../src/log/mod.ts";
import { assert, test } from "../support/harness.ts";
import { Random, runs } from "../support/random.ts";

function entries(from: bigint, count: number): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: from + BigInt(i),
    term: 1n,
    data: new Uint8Array(3).fill(Number(from) + i),
  }));
}

test("digests are those of a log that nobody purges, whatever happens at once", async () => {
  for (let seed = 1; seed <= runs(12); seed++) {
    const random = new Random(seed);
    const [log, whole] = [new MemoryLog(), new MemoryLog()];
    if (random.chance(0.7)) await log.digest(0n); // else it is asked for while something is purged
    const running: Promise<unknown>[] = [];
    for (let i = 0; i < 30; i++) {
      const first = log.lastIndex + 1n;
      const some = entries(first, 1 + random.below(400));
      await Promise.all([log.append(some), whole.append(some)]);
      if (random.chance(0.5)) {
        running.push(log.purge(log.lastIndex - BigInt(random.below(Math.min(Number(log.lastIndex), 100)))));
      }
      if (random.chance(0.3)) running.push(log.purge(log.lastIndex + BigInt(random.below(100))));
      if (random.chance(0.5)) {
        const index = log.lastIndex;
        running.push((async () => {
          const digest = await log.digest(index).catch(() => undefined); // it may be purged meanwhile
          if (digest !== undefined && log.firstIndex === 1n) assert.deepEqual(digest, await whole.digest(index));
        })());
      }
      if (random.chance(0.2)) await Promise.all(running.splice(0));
    }
    await Promise.all(running);
    const kept = await log.digest(log.lastIndex);
    await log.append(entries(log.lastIndex + 1n, 5));
    const after = await log.digest(log.lastIndex);
    await log.purge(log.lastIndex - 1n);
    assert.deepEqual(await log.digest(log.lastIndex), after, `seed ${seed}`);
    assert.notDeepEqual(kept, after);
  }
});

test("purges at once leave the digest of the history as it was", async () => {
  const [log, whole] = [new MemoryLog(), new MemoryLog()];
  await log.digest(0n); // it is kept from now on, and none of what comes is known yet
  await Promise.all([log, whole].map((one) => one.append(entries(1n, 5000))));
  await Promise.all([100n, 3000n, 2000n, 4000n].map((index) => log.purge(index)));
  assert.deepEqual([log.firstIndex, await log.digest(5000n)], [4001n, await whole.digest(5000n)]);
});

test("a purge that passes by while a history is digested spoils nothing", async () => {
  const all = entries(1n, 4);
  const whole = async function* (from: bigint) {
    yield* all.slice(Number(from) - 1);
  };
  const before = baseDigest(0n, 0n);
  const digestAt = (index: bigint) => new LogChain(0n, before).at(index, whole);
  const second = (await digestAt(2n))!;
  for (const [index, expected] of [[1n, undefined], [4n, await digestAt(4n)]] as const) {
    const chain = new LogChain(0n, before);
    const found = await chain.at(index, async function* (from) {
      if (from > 2n) return yield* whole(from);
      chain.rebase(2n, second); // the first two are purged, before they are read
      throw purged(from, 3n);
    });
    assert.deepEqual(found, expected);
  }
});
