// A shop's stock, led by a process with a disk, mirrored in a Durable Object, and backed up: the leader is killed, the
// mirror promoted, and nothing that it had acknowledged is lost.

import { jsonCodec, KeyValueMachine, Replica, snapshotHandler } from "../../mod.ts";
import { Backup, restoreBackup } from "../../src/backup.ts";
import { MemoryBucket } from "../../src/object.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert, test } from "../support/harness.ts";
import { ask, withWorker } from "../support/miniflare.ts";
import { inTemp } from "../support/temp.ts";

async function openShop(directory: string) {
  const stock = new KeyValueMachine(jsonCodec<number>());
  const storage = await DirectoryStorage.open(`${directory}/snapshots`);
  const log = await SqliteLog.open(`${directory}/log.db`);
  const replica = await Replica.open({ machine: stock, storage, log });
  const handler = snapshotHandler(storage, { target: replica, allowWrites: true });
  const server = await serve(handler, { port: 0 });
  return {
    replica,
    stock,
    url: server.url,
    async kill() {
      await server.close();
      await handler.close();
      await replica.close();
    },
  };
}

test("a Durable Object follows a leader on a disk, through eviction, and leads when that is lost", () =>
  withWorker((worker) =>
    inTemp(async (directory) => {
      const shop = await openShop(directory);
      const bucket = new MemoryBucket();
      const backup = await Backup.start(shop.replica, bucket);
      const mirror = (path: string) => `${worker.url}/stock/main/${path}`;
      const leader = encodeURIComponent(shop.url);
      const set = async (key: string, value: number) => (await shop.replica.propose(shop.stock.put(key, value))).index;
      for (let i = 0; i < 50; i++) await set(`item ${i}`, i);
      await shop.replica.snapshot().result;
      assert.equal(await ask(mirror(`get?key=item%2049&leader=${leader}`)), "49");
      const index = await set("apples", 3);
      assert.equal(await ask(mirror(`get?key=apples&leader=${leader}&after=${index}`)), "3", "one's own write is read");
      await worker.evict("StockMirror", "main");
      await set("apples", 4);
      assert.equal(await ask(mirror(`get?key=apples&leader=${leader}`)), "4", "it goes on where it was");
      const acknowledged = await set("pears", 7);
      assert.equal(await ask(mirror(`get?key=pears&leader=${leader}&after=${acknowledged}`)), "7");
      await backup.close();
      await shop.kill();
      assert.equal(await ask(mirror("promote"), { method: "POST" }), '"2"');
      await ask(mirror("set?key=plums&value=9"));

      // Another process follows the promoted one, from the old one's disk.
      const again = await openShop(directory);
      const follower = again.replica.follow([mirror("").replace(/\/$/, "")]);
      await follower.caughtUp();
      assert.deepEqual([again.stock.get("pears"), again.stock.get("plums")], [7, 9]);
      await again.kill();

      const restored = new KeyValueMachine(jsonCodec<number>());
      const point = await restoreBackup(restored, bucket);
      assert.equal(point.index, acknowledged);
      assert.equal(restored.get("pears"), 7);
    })
  ));
