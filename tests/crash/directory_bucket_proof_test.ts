// A crash at every operation of a directory bucket, in every state that the disk may be in then: what was acknowledged is
// there, and every object is one that was put, whole.

import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { hasCode } from "../../mod.ts";
import { crashStates } from "./crash_states.ts";
import { explore, type Explored } from "./explore.ts";
import type { Flow } from "./flows.ts";
import { EMPTY } from "./image.ts";
import { type DiskOperation, SimulatedDisk } from "./simulated_disk.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";

const ROOT = "/volume/bucket";
/** What is acknowledged: the object that a key has from then on, by its seed; nothing if it was deleted. */
type Mark = readonly [key: string, seed: number | undefined];
type Disk = SimulatedDisk<Mark>;

const body = (seed: number) => noise(6000 + seed, seed);

async function put(bucket: DirectoryBucket, disk: Disk, key: string, seed: number): Promise<void> {
  await bucket.put(key, body(seed));
  disk.mark([key, seed]);
}

const flow: Flow<Mark> = {
  name: "a directory bucket",
  async prepare(disk) {
    const bucket = await DirectoryBucket.open(ROOT, { disk });
    await bucket.put("old", body(1));
    await bucket.put("deep/er/old", body(2));
  },
  async run(disk) {
    disk.mark(["old", 1]);
    disk.mark(["deep/er/old", 2]);
    const bucket = await DirectoryBucket.open(ROOT, { disk });
    await put(bucket, disk, "new", 3);
    await put(bucket, disk, "deep/new/and/deeper", 4);
    await Promise.all([put(bucket, disk, "old", 5), put(bucket, disk, "deep/er/old", 6)]);
    const made = await bucket.put("once", body(7), { ifNoneMatch: "*" });
    disk.mark(["once", 7]);
    await bucket.put("once", body(8), { ifMatch: made!.etag });
    disk.mark(["once", 8]);
    await bucket.delete(["new", "deep/er/old"]);
    disk.mark(["new", undefined]);
    disk.mark(["deep/er/old", undefined]);
  },
  async recover(disk, promised) {
    const bucket = await DirectoryBucket.open(ROOT, { disk });
    const listed = new Map((await bucket.list()).objects.map((object) => [object.key, object]));
    const order: Record<string, (number | undefined)[]> = {
      "old": [1, 5],
      "deep/er/old": [2, 6, undefined],
      "new": [undefined, 3, undefined],
      "deep/new/and/deeper": [undefined, 4],
      "once": [undefined, 7, 8],
    };
    for (const [key, states] of Object.entries(order)) {
      const seeds = promised.filter(([name]) => name === key).map(([, seed]) => seed);
      const acknowledged = seeds.length === 0 ? 0 : states.lastIndexOf(seeds.at(-1));
      const found = await bucket.get(key);
      assert.equal(found?.etag, listed.get(key)?.etag, `${key} in the list`);
      const possible = states.slice(acknowledged);
      if (found === undefined) {
        assert.include(possible, undefined, `${key} is gone`);
        continue;
      }
      const bytes = await bytesOf(found.body);
      const seed = bytes.length - 6000;
      assert.include(possible, seed, key);
      assert.deepEqual(bytes, body(seed), key);
      listed.delete(key);
    }
    assert.equal(listed.size, 0, "nothing else is there");
    assert.exists(await bucket.put("after", body(9)));
  },
};

test("DirectoryBucket: crashes", async () => {
  const counts: Explored = { operations: 0, states: 0, secondCrashes: 0 };
  await explore(flow, { seed: 1, bounds: { all: 5, random: 8 }, share: 0.3, again: 0.02 }, counts);
  assert.isAbove(counts.states, 100);
});

test("DirectoryBucket: a bucket that was just made", async () => {
  const made: Flow<Mark> = {
    name: "a new directory bucket",
    prepare: (disk) => disk.makeDirectory("/volume"),
    async run(disk) {
      await put(await DirectoryBucket.open(ROOT, { disk }), disk, "key", 1);
    },
    async recover(disk, promised) {
      const found = await (await DirectoryBucket.open(ROOT, { disk })).get("key");
      if (promised.length === 0 && found === undefined) return;
      assert.deepEqual(await bytesOf(found!.body), body(1));
    },
  };
  await explore(made, { seed: 1, bounds: { all: 8, random: 10 }, share: 1, again: 0.1 }, {
    operations: 0,
    states: 0,
    secondCrashes: 0,
  });
});

test("DirectoryBucket: a disk that fails at any operation loses nothing", async () => {
  for (const code of ["ENOSPC", "EIO"] as const) {
    for (const when of ["before", "half", "after"] as const) {
      for (let number = 1;; number++) {
        let happened = false;
        const fault = (operation: DiskOperation) => {
          if (operation.number !== number + before) return undefined;
          happened = true;
          if (operation.verb === "lock") return undefined; // it is taken, or it is not
          return { code, when };
        };
        let before = Infinity;
        const disk: Disk = new SimulatedDisk(undefined, { fault });
        const bucket = await DirectoryBucket.open(ROOT, { disk });
        await bucket.put("a/key", body(1));
        before = disk.counts.operations;
        let acknowledged = true;
        try {
          await bucket.put("a/key", body(2));
        } catch (error) {
          assert.isTrue(hasCode(error, "NO_SPACE", "UNAVAILABLE"), `${error}`);
          acknowledged = false;
        }
        before = Infinity;
        assert.equal(disk.counts.open, 0, "files that are left open");
        const bytes = await bytesOf((await bucket.get("a/key"))!.body);
        assert.deepEqual(bytes, body(bytes.length - 6000));
        if (acknowledged) assert.equal(bytes.length, 6002);
        assert.exists(await bucket.put("a/key", body(3)), "it goes on");
        if (!happened) break;
      }
    }
  }
});

test("DirectoryBucket: what is seen of a put that failed is as durable as what is put after it", async () => {
  const looks: Readonly<Record<string, (bucket: DirectoryBucket) => Promise<boolean>>> = {
    get: async (bucket) => await bucket.get("deep/first") !== undefined,
    list: async (bucket) => (await bucket.list({ prefix: "deep/" })).objects.length > 0,
    "conditional put": async (bucket) => await bucket.put("deep/first", body(9), { ifNoneMatch: "*" }) === undefined,
  };
  for (const [how, look] of Object.entries(looks)) {
    let isFailing = false;
    const disk: Disk = new SimulatedDisk(undefined, {
      fault: ({ verb, path }) =>
        isFailing && verb === "syncDirectory" && path.endsWith("/deep~") ? { code: "EIO", when: "before" } : undefined,
    });
    const first = await DirectoryBucket.open(ROOT, { disk });
    await first.put("deep/other", body(1));
    await first.put("b", body(1));
    isFailing = true;
    await rejects(first.put("deep/first", body(2)), "UNAVAILABLE");
    isFailing = false;
    const second = await DirectoryBucket.open(ROOT, { disk });
    assert.isTrue(await look(second), how);
    await second.put("b", body(3)); // which relies on it
    let [states, relying] = [0, 0];
    for (const { image } of crashStates(EMPTY, disk.journal, new Random(1), { all: 6, random: 20 })) {
      states++;
      const after = new SimulatedDisk<Mark>(image);
      if (await after.stat(ROOT) === undefined) continue;
      const bucket = await DirectoryBucket.open(ROOT, { disk: after });
      const object = await bucket.get("b");
      if (object?.size !== body(3).length) continue;
      relying++;
      assert.strictEqual((await bucket.get("deep/first"))?.size, body(2).length, how);
    }
    assert.isAbove(states, relying);
    assert.isAbove(relying, 0);
  }
});
