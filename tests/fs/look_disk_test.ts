import { link, lstat, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { lookNow } from "../../src/fs/mod.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

test("a look finds a file's size, and an identity that goes with the file, and no other has", async () => {
  await inTemp(async (directory) => {
    const [one, other, moved, second, to] = ["one", "other", "moved", "second", "to"].map((it) => `${directory}/${it}`);
    await writeFile(one!, "12345");
    await writeFile(other!, "12345");
    await link(one!, second!);
    const found = lookNow(one!)!;
    assert.equal(found.size, 5);
    const { dev, ino } = await lstat(one!, { bigint: true });
    assert.equal(found.identity, `${dev} ${ino}`); // as a lock has it
    assert.deepEqual(lookNow(second!), found);
    assert.notEqual(lookNow(other!)!.identity, found.identity);
    await rename(one!, moved!);
    assert.deepEqual(lookNow(moved!), found);
    await symlink(moved!, to!);
    assert.notEqual(lookNow(to!)!.identity, found.identity);
    assert.equal(lookNow(one!), undefined);
    assert.equal(lookNow(`${moved}/below`), undefined);
    await mkdir(one!);
    assert.notEqual(lookNow(one!)!.identity, found.identity);
  });
});
