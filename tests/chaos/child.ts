// A node that pulls until it has the snapshot, and may be killed at any moment. child ROOT URL

import process from "node:process";
import { pull, SnapshotError } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";

const [, , root, url] = process.argv as [string, string, string, string];
const storage = await DirectoryStorage.open(root);
for (;;) {
  try {
    const operation = pull(storage, [url], { timeout: 500, retryFor: 100 });
    console.log("begun");
    await operation; // up to date if it was killed after the commit
    break;
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    console.log(`error ${error.code}`);
  }
}
await storage.close();
console.log("done");
