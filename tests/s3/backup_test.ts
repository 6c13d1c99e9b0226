// A backup in a real object store: written, gone on with, restored to a point, verified.

import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "../../mod.ts";
import { Backup, restoreBackup, verifyBackup } from "../../src/backup.ts";
import { assert, test } from "../support/harness.ts";
import { newBucket } from "./kit.ts";

test("S3: a backup is written as entries come, gone on with, restored to any point, and verified", async () => {
  const bucket = await newBucket();
  const machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
  const put = async (from: number, to: number) => {
    for (let i = from; i < to; i++) await replica.propose(machine.put(`k${i}`, `v${i}`));
  };
  for (let round = 0; round < 3; round++) {
    const backup = await Backup.start(replica, bucket, { prefix: "shop/" });
    await put(20 * round, 20 * round + 10);
    await replica.snapshot();
    await backup.flush();
    await put(20 * round + 10, 20 * round + 20);
    await backup.close();
  }
  const { problems, entries, last } = await verifyBackup(bucket, { prefix: "shop/" });
  assert.deepEqual([problems, last], [[], 60n]);
  assert.isAbove(Number(entries), 20);
  for (const index of [30n, 45n, 60n]) {
    const restored = new KeyValueMachine(utf8Codec());
    const point = await restoreBackup(restored, bucket, { prefix: "shop/", index });
    assert.deepEqual([point.index, restored.size], [index, Number(index)]);
  }
  await replica.close();
});
