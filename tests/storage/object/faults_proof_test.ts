import { SnapshotError } from "../../../mod.ts";
import { type Bucket, MemoryBucket } from "../../../src/object.ts";
import { inFakeTime, later } from "../../support/fake_clock.ts";
import { type BucketFault, bySeed, FaultyBucket } from "../../support/faulty_bucket.ts";
import { Random } from "../../support/random.ts";
import { assert, bytesOf, test } from "../../support/harness.ts";
import { checkContent, type Content, litterOf, mixed, openStorage, save } from "../../support/object_storage.ts";

const DAYS = 24 * 3600_000;
const FAULTS: readonly BucketFault[] = ["late", "before", "after", "twice", "stale", "cut", "broken"];

function contentOf(seed: number): Content {
  return { a: mixed(200_000, 130_000, seed), b: mixed(70_000, 0, seed >> 1) };
}

/** Does random things with several storages of one bucket, and knows what must be there. */
async function mingle(bucket: Bucket, random: Random, steps: number): Promise<Map<bigint, Content>> {
  const acknowledged = new Map<bigint, Content>();
  const storages = await Promise.all([1, 2].map(() => openStorage(bucket)));
  let next = 1n;
  try {
    for (let step = 0; step < steps; step++) {
      const storage = random.pick(storages);
      await random.pick([
        async () => {
          const index = next++;
          const content = contentOf(Number(index));
          await save(storage, index, content);
          acknowledged.set(index, content);
        },
        async () => {
          const [one, other] = [next++, next++];
          const saves = [one, other].map((index, i) => save(storages[i]!, index, contentOf(Number(index))));
          for (const [i, { status }] of (await Promise.allSettled(saves)).entries()) {
            if (status === "fulfilled") acknowledged.set([one, other][i]!, contentOf(Number([one, other][i]!)));
          }
        },
        async () => {
          const reader = await storage.open();
          try {
            for (const { name } of reader.manifest.files) await bytesOf(reader.file(name));
          } finally {
            await reader.close();
          }
        },
        async () => {
          const writer = await storage.create();
          await new Blob([new Uint8Array(70_000)]).stream().pipeTo(writer.file("x")).catch(() => {});
          await writer.abort();
        },
        async () => void await storage.collect(),
      ])().catch((error) => {
        if (error instanceof SnapshotError && error.code !== "CORRUPT") return;
        throw error;
      });
    }
  } finally {
    await Promise.allSettled(storages.map((storage) => storage.close()));
  }
  return acknowledged;
}

test("object storage: a bucket that answers late, twice, with 503 before and after, stale and cut, loses nothing", async () => {
  for (let seed = 1; seed <= 6; seed++) {
    await inFakeTime(async () => {
      const bucket = new MemoryBucket();
      const faulty = new FaultyBucket(bucket, bySeed(seed, 0.12, FAULTS));
      const acknowledged = await mingle(faulty, new Random(seed), 14);
      const storage = await openStorage(bucket);
      try {
        const there = (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
        const newest = [...acknowledged.keys()].reduce((a, b) => a > b ? a : b, 0n);
        if (newest > 0n) assert.isTrue(there[0]! >= newest, `seed ${seed}: ${there} has ${newest}`);
        for (const index of there) await checkContent(storage, index, contentOf(Number(index)));
        await later(DAYS, () => storage.collect());
        assert.deepEqual(await litterOf(bucket, there.length), [], `seed ${seed}: litter`);
      } finally {
        await storage.close();
      }
    });
  }
});
