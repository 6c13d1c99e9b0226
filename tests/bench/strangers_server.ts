// What strangers crowd at in `strangers`: a storage of 64 MiB that may be read and written. Ends with its input.

import process from "node:process";
import { snapshotHandler } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { randomBytes, repeated } from "./report.ts";

const MiB = 1024 * 1024;
const storage = await DirectoryStorage.open(process.argv[2]!);
const writer = await storage.create();
await repeated(randomBytes(MiB - 1), 64 * MiB).pipeTo(writer.file("state"));
await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
const handler = snapshotHandler(storage, { authorize: () => true });
const server = await serve(handler, { port: 0 });
console.log(server.url);
process.stdin.on("end", () => process.exit(0)).resume();
