import { MemoryBucket } from "../../../src/object.ts";
import { pause } from "../../../src/async/mod.ts";
import { inFakeTime } from "../../support/fake_clock.ts";
import { assert, bytesOf, test } from "../../support/harness.ts";
import { openStorage } from "../../support/object_storage.ts";

const MINUTES = 60_000;
const DAYS = 24 * 3600_000;

for (const jump of [DAYS, -DAYS]) {
  test(`object storage: a lease is renewed in time though the wall clock of its holder jumps by ${jump} ms`, () =>
    inFakeTime(async (clock) => {
      const bucket = new MemoryBucket();
      const storage = await openStorage(bucket);
      const writer = await storage.create();
      const until = async () => {
        const { decodeIndex } = await import("../../../src/storage/object/index.ts");
        const { leases } = await decodeIndex(await bytesOf((await bucket.get("index"))!.body), "index");
        return leases[0]!.activeUntil;
      };
      const first = await until();
      clock.jumped = jump;
      await pause(7 * MINUTES, undefined);
      assert.isAtLeast(await until(), first + 3 * MINUTES);
      await writer.abort();
      await storage.close();
    }));
}
