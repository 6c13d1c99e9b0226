// A bucket that takes one put of the index a second is a normal bucket, for one process or many.

import { SnapshotError } from "../../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../../src/object.ts";
import { inFakeTime } from "../../support/fake_clock.ts";
import { assert, noise, test } from "../../support/harness.ts";
import { LimitedBucket } from "../../support/limited_bucket.ts";
import { save } from "../../support/object_storage.ts";

/** What came of it. */
interface Outcome {
  readonly acknowledged: readonly bigint[];
  readonly seconds: number;
  readonly puts: number;
  readonly codes: Readonly<Record<string, number>>;
}

/** Several processes that save as fast as they can, each its next snapshot, until so many are acknowledged. */
async function saveAll(bucket: LimitedBucket, processes: number, commits: number): Promise<Outcome> {
  return await inFakeTime(async (clock) => {
    const acknowledged: bigint[] = [];
    const codes: Record<string, number> = {};
    let index = 0n;
    let begun = 0;
    const work = async (number: number) => {
      const storage = await ObjectStorage.open(bucket, { grace: 3600_000 });
      while (acknowledged.length < commits) {
        const mine = ++index;
        try {
          await save(storage, mine, { state: noise(3000, Number(mine) + number) });
          acknowledged.push(mine);
        } catch (error) {
          const code = error instanceof SnapshotError ? error.code : String(error);
          codes[code] = (codes[code] ?? 0) + 1;
        }
      }
      begun = Math.max(begun, clock.passed);
      await storage.close();
    };
    await Promise.all(Array.from({ length: processes }, (_, number) => work(number)));
    return { acknowledged, seconds: begun / 1000, puts: bucket.puts.get("index")!, codes };
  });
}

const CASES = [[1, 30, undefined], [3, 30, 1000], [6, 60, undefined], [20, 40, 1000]] as const;
for (const [processes, commits, retryAfter] of CASES) {
  test(`object storage: ${processes} processes at one put of the index a second: ${commits} commits, each about one put`, async () => {
    const bucket = new LimitedBucket(new MemoryBucket(), 1000, retryAfter);
    const { acknowledged, seconds, puts, codes } = await saveAll(bucket, processes, commits);
    const what = JSON.stringify({ acknowledged: acknowledged.length, seconds, puts, codes, refused: bucket.refused });
    assert.sameMembers(Object.keys(codes).filter((code) => code !== "STALE"), [], what);
    // The first two commits of each process take a lease with a put of its own.
    assert.isAtMost(puts - 2 * processes, 1.1 * acknowledged.length, what);
    assert.isAtLeast(puts / seconds, 0.8, what);
    const storage = await ObjectStorage.open(bucket);
    const [newest] = await storage.list();
    assert.equal(newest!.meta.lastIncludedIndex, acknowledged.reduce((a, b) => a > b ? a : b), what);
    await storage.close();
  });
}
