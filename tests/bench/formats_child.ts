// What is measured by `formats`: verifies a path (or nothing), and prints how long it took, what came of it, and the peak
// of its memory.

import { readFileSync } from "node:fs";
import process from "node:process";
import { openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";

const [, , path] = process.argv as [string, string, string | undefined];
const start = performance.now();
let bytes = 0;
if (path !== undefined) {
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
