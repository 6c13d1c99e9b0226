// What the proof has found, each by itself.

import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { type Action, killAtEachStep } from "./durable_histories.ts";
import { KeptDatabase } from "./durable_kept.ts";
import { namesIn } from "./image.ts";
import { holds, ROOT, save } from "./promise.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

test("crash: a rename that fails though it was done is not in the way of the next try", async () => {
  let renames = 0;
  const disk = new SimulatedDisk<bigint>(undefined, {
    fault: ({ verb, path }) =>
      verb === "rename" && path === `${ROOT}/temp` && ++renames === 2 ? { code: "EIO", when: "after" } : undefined,
  });
  const storage = await DirectoryStorage.open(ROOT, { disk });
  await save(storage, 1n);
  await rejects(save(storage, 2n), "UNAVAILABLE");
  assert.deepEqual(namesIn(disk.image, ROOT), [".lock", "snapshot_00000000000000000001"]);
  await save(storage, 2n);
  assert.deepEqual(await holds(storage, { acknowledged: [1n, 2n], asked: [] }), [2n, 1n]);
  await storage.close();
});

test("crash: verifying goes on after what cannot be read", async () => {
  let reads = 0;
  const disk = new SimulatedDisk<bigint>(undefined, {
    fault: ({ verb, path }) =>
      // The first two chunks with one call, then the first by itself.
      verb === "read" && path.endsWith("/state") && reads++ < 2 ? { code: "EIO", when: "before" } : undefined,
  });
  const storage = await DirectoryStorage.open(ROOT, { disk });
  await save(storage, 1n);
  const reader = await storage.open();
  const { ok, bad, chunks } = await reader.verify().result;
  assert.isFalse(ok);
  assert.deepEqual(bad.map(({ file, chunk }) => [file, chunk]), [["state", 0]]);
  assert.equal(chunks, 3);
  await reader.close();
  assert.deepEqual(await holds(storage, { acknowledged: [1n], asked: [] }), [1n]); // it may be good: it is kept
  await storage.close();
});

test("crash: what a machine was loaded with is on its disk before the log is reset, since the snapshot may rot", async () => {
  const course: Action[] = [
    (world) => world.propose(4),
    (world) => world.purge(),
    (world) => world.install(1),
  ];
  const counts = { kills: 0, openings: 0, refused: 0 };
  const make = () => Promise.resolve(new KeptDatabase(true));
  await killAtEachStep(course, make, [{ rot: true, lostWrites: 9 }], counts);
  assert.isAbove(counts.openings, 20);
});
