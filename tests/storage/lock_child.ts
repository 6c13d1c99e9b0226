// A process that has, or wants, the lock of a root. lock_child hold ROOT | race ROOT ROUNDS
// Says "ready", and begins to race, or ends, when its standard input says so.

import { rm, writeFile } from "node:fs/promises";
import process from "node:process";
import { hasCode } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";

const [, , verb, root, rounds] = process.argv as [string, string, string, string, string?];
const input = process.stdin[Symbol.asyncIterator]();

if (verb === "hold") {
  const storage = await DirectoryStorage.open(root);
  console.log("ready");
  await input.next();
  await storage.close();
} else {
  console.log("ready");
  await input.next();
  let busy = 0;
  for (let won = 0; won < Number(rounds);) {
    let storage: DirectoryStorage;
    try {
      storage = await DirectoryStorage.open(root, { durability: "none" });
    } catch (error) {
      if (!hasCode(error, "BUSY")) throw error;
      busy++;
      continue;
    }
    await writeFile(`${root}/owner`, "", { flag: "wx" }); // fails if there is another owner
    await storage.list();
    await rm(`${root}/owner`);
    await storage.close();
    won++;
  }
  console.log(`busy ${busy}`);
}
process.exit(0);
