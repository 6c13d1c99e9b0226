import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { fillDisk } from "./full_disk.ts";
import { killAgain } from "./kills.ts";

test("crash: a process on a real disk, killed again and again", async () => {
  assert.isTrue(await inTemp((directory) => killAgain(directory, 1, 12)) > 0n);
});

test("crash: a file system that is full", async () => {
  const counts = await inTemp((directory) => Promise.resolve(fillDisk(directory)));
  if (counts === undefined) console.log("no file system can be mounted here: not tried");
});
