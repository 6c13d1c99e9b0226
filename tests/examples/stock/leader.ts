// The stock of a shop, led on Node: a process with a disk, which backs its log up to a bucket. `node leader.mjs
// DIRECTORY` prints its address. It answers `POST /set?key=K&value=N` with the entry's index, `POST /flush` when the
// backup has all, `POST /save` when a snapshot was taken and the log purged behind it, and what the handler knows.

import process from "node:process";
import { jsonCodec, KeyValueMachine, Replica, snapshotHandler } from "../../../mod.ts";
import { Backup } from "../../../src/backup.ts";
import { DirectoryBucket, DirectoryStorage } from "../../../src/fs.ts";
import { SqliteLog } from "../../../src/sqlite.ts";
import { serve } from "../../../src/serve.ts";

const [, , directory = "stock"] = process.argv;
const stock = new KeyValueMachine(jsonCodec<number>());
const storage = await DirectoryStorage.open(`${directory}/snapshots`, { retain: 1 });
const log = await SqliteLog.open(`${directory}/log.db`);
const replica = await Replica.open({ machine: stock, storage, log, purge: { upToSnapshotIndex: "newest", gap: 1 } });
const backup = await Backup.start(replica, await DirectoryBucket.open(`${directory}/bucket`));
const handler = snapshotHandler(storage, { target: replica, allowWrites: true, cors: "*" });

const { url } = await serve(async (request) => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/set") {
    const command = stock.put(searchParams.get("key")!, Number(searchParams.get("value")));
    return Response.json(String((await replica.propose(command)).index));
  }
  if (pathname === "/flush") {
    await backup.flush();
    return Response.json(String(backup.status().uploadedIndex));
  }
  if (pathname !== "/save") return await handler(request);
  await replica.snapshot().result;
  await replica.purge();
  return Response.json(String(replica.status().firstIndex));
}, { port: 0 });
console.log(url);
