import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { fillDisk, fillLog } from "./full_disk.ts";
import { killAgain } from "./kills.ts";

test("crash: a process on a real disk, killed again and again", async () => {
  assert.isTrue(await inTemp((directory) => killAgain(directory, 1, 12)) > 0n);
});

for (const name of ["SQLite", "LevelDB"]) {
  test(`crash: a process on a real disk with its state in ${name}, killed again and again`, async () => {
    const kill = (directory: string) => killAgain(directory, 1, 10, ["tests/crash/durable_kill_child.ts", name]);
    assert.isTrue(await inTemp(kill) > 0n);
  });
}

test("crash: a file system that is full", async () => {
  const counts = await inTemp((directory) => Promise.resolve(fillDisk(directory)));
  if (counts === undefined) console.log("no file system can be mounted here: not tried");
});

test("crash: a log fills the disk, then what one snapshot takes is freed: it saves, purges and proposes again by itself", async () => {
  const ways = await inTemp((directory) => Promise.resolve(fillLog(directory)));
  if (ways === undefined) console.log("no file system can be mounted here: not tried");
});
