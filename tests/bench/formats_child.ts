// What is measured by `formats`: verifies a path (or nothing), or only reads and hashes it, and prints how long it took,
// what came of it, and the peak of its memory.
//
// formats_child [PATH [sha256]]

import { readFileSync } from "node:fs";
import process from "node:process";
import { openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { runningHash } from "../../src/format/bytes/hash.ts";
import { readBlocks } from "../../src/format/files.ts";

const [, , path, only] = process.argv as [string, string, string | undefined, string | undefined];
const start = performance.now();
let bytes = 0;
if (path !== undefined && only === "sha256") {
  const files = await sourceFiles(path);
  const hash = runningHash("sha256");
  for await (const block of readBlocks(files, files.entries[0]!.name, 0, Infinity, { reuse: true })) {
    hash.update(block);
    bytes += block.length;
  }
  hash.digest();
} else if (path !== undefined) {
  const reader = await openFormat(await sourceFiles(path));
  const { ok, bad, bytes: verified } = await reader.verify().result;
  if (!ok) throw new Error(JSON.stringify(bad));
  bytes = verified;
  await reader.close();
}
const seconds = (performance.now() - start) / 1000;
// What the system says to a process begins with the peak of the one that started it.
const [, peak] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))!;
console.log(JSON.stringify({ seconds, bytes, peak: Number(peak) / 1024 }));
process.exit(0);
