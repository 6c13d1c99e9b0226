// A node of `transfer`: serves a storage, well or badly, and pulls into it when it is told to. Talks in lines of JSON.
// transfer_node ROOT [good | slow | dying | lying]

import process from "node:process";
import { createInterface } from "node:readline";
import { pull, push, snapshotHandler, type SnapshotReader, Throttle, throttled } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";

const [, , root, mode = "good"] = process.argv as [string, string, string, string?];
const storage = await DirectoryStorage.open(root);
const handler = snapshotHandler(storage, { allowWrites: true });
const slow = new Throttle(8 * 1024 * 1024);
let sent = 0;
let half = 0;

const server = await serve(async (request, connection) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/sent") return new Response(String(sent));
  const response = await handler(request, connection);
  if (!pathname.endsWith("/content") || response.body === null) return response;
  const size = Number(response.headers.get("Content-Length"));
  sent += size;
  half ||= Number(response.headers.get("Content-Range")!.split("/")[1]) / 8; // half of a quarter
  if (mode === "dying" && sent > half) process.exit(1);
  if (mode === "slow") return new Response(response.body.pipeThrough(throttled(slow)) as BodyInit, response);
  if (mode === "lying" && sent > half) {
    await response.body.cancel();
    return new Response(new Uint8Array(size), response);
  }
  return response;
}, { port: 0 });

function say(what: Record<string, unknown>): void {
  console.log(JSON.stringify(what));
}

say({ url: server.url });
for await (const line of createInterface({ input: process.stdin })) {
  const { sources, target } = JSON.parse(line) as { sources?: string[]; target?: string };
  const start = performance.now();
  if (target !== undefined) {
    const reader: SnapshotReader = await storage.open();
    await push(reader, target).result;
    await reader.close();
    say({ seconds: (performance.now() - start) / 1000 });
    continue;
  }
  const operation = pull(storage, sources!);
  void (async () => {
    for await (const { phase, bytes, total } of operation) {
      if (phase === "fetch" && bytes >= total! / 2) return say({ half: true });
    }
  })().catch(() => {});
  const { fetched, reused, sources: from } = await operation.result;
  say({
    seconds: (performance.now() - start) / 1000,
    fetched,
    reused,
    dropped: from.filter((it) => it.dropped).length,
  });
}
process.exit(0);
