// The other side of `pull` and `memory`: serves a storage, and its file as it is below /raw. Ends with its input.

import { createReadStream } from "node:fs";
import process from "node:process";
import { snapshotHandler } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";

const root = process.argv[2]!;
const storage = await DirectoryStorage.open(root, { readOnly: true });
const handler = snapshotHandler(storage);
const path = `${root}/snapshot_00000000000000000001/state`;

/** The file, as fast as the runtime can send one. */
function raw(): Response {
  const { Bun } = globalThis as { Bun?: { file(path: string): Blob } };
  if (Bun !== undefined) return new Response(Bun.file(path));
  return new Response(ReadableStream.from(createReadStream(path, { highWaterMark: 256 * 1024 })));
}

const server = await serve((request) => new URL(request.url).pathname === "/raw" ? raw() : handler(request), {
  port: 0,
});
console.log(server.url);
process.stdin.on("end", () => process.exit(0)).resume();
