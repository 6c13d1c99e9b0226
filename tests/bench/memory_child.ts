// What is measured by `memory`: nothing, a fetch, a save, or a pull; prints its peak.

import process from "node:process";
import { pull } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { randomBytes, repeated } from "./report.ts";

const [, , what, root, url] = process.argv as [string, string, string, string, string];
const MiB = 1024 * 1024;
const size = what === "nothing" ? MiB : 4096 * MiB;

const storage = await DirectoryStorage.open(root);
if (what === "pull") {
  await pull(storage, [url]).result;
} else if (what === "fetch") {
  for await (const _ of (await fetch(`${url}/raw`)).body!); // thrown away
} else {
  const writer = await storage.create();
  await repeated(randomBytes(MiB), size).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
}
await storage.close();
console.log(process.resourceUsage().maxRSS / 1024);
process.exit(0);
