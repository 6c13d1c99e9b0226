// What `deno task crash` does at length, in short.

import { assert, test } from "../harness.ts";
import { inTemp } from "../temp.ts";
import { fillDisk } from "./full_disk.ts";
import { killAgain } from "./kills.ts";
import { noCounts, parts, SHORT } from "./proof.ts";

const counts = noCounts();
for await (const [name, run] of parts(1, SHORT, counts)) test(`crash: ${name}`, run);

test("crash: all of these looked at something", () => {
  const { states, secondCrashes, faults, slow, damage, model, schedules } = counts;
  for (const count of [states, secondCrashes, faults, slow, damage.cases, model.states, schedules.actions]) {
    assert.isAbove(count, 0);
  }
});

// A process of another runtime would need a bundle of its own.
if ("Deno" in globalThis) {
  test("crash: a process on a real disk, killed again and again", async () => {
    assert.isTrue(await inTemp((directory) => killAgain(directory, 1, 12)) > 0n);
  });

  test("crash: a file system that is full", async () => {
    const counts = await inTemp((directory) => Promise.resolve(fillDisk(directory)));
    if (counts === undefined) console.log("no file system can be mounted here: not tried");
  });
}
