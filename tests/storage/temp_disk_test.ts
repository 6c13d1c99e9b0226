// A temporary directory of the caller's own: snapshots are written there, and become snapshots by a rename.

import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { SnapshotError } from "../../mod.ts";
import { DirectoryStorage } from "../../src/fs.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { namesIn, save, wholeOnes } from "../support/directory_storage.ts";
import { overriding } from "../support/overriding.ts";
import { inTemp } from "../support/temp.ts";

test("temp: what is written is there, what is committed is not, and what a crash left is swept", () =>
  inTemp(async (root) => {
    const [temp, other] = [`${root}/work/here`, `${root}/b`];
    const storage = await DirectoryStorage.open(`${root}/a`, { temp });
    const second = await DirectoryStorage.open(other, { temp }); // of the same one
    const writer = await storage.create();
    const written = writer.file("state").getWriter();
    await written.write(new Uint8Array(10));
    const [name] = await namesIn(temp);
    assert.deepEqual(await namesIn(`${temp}/${name}`), ["state"]);
    assert.deepEqual(await namesIn(`${root}/a`), [".lock"]);
    await written.close();
    await save(second, 1n);
    await save(second, 2n);
    assert.deepEqual(await wholeOnes(second), [2n, 1n]);
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    assert.deepEqual(await namesIn(temp), []);
    await storage.close();
    await second.close();
    await mkdir(`${temp}/${name}/left`, { recursive: true });
    await writeFile(`${temp}/mine`, "mine");
    const again = await DirectoryStorage.open(`${root}/a`, { temp });
    assert.deepEqual(await namesIn(temp), ["mine"]);
    assert.lengthOf(await again.list(), 1);
    await again.close();
  }));

test("temp: on another device, below the root, or no directory", () =>
  inTemp(async (root) => {
    const disk = overriding(defaultDisk(), {
      rename: (from, to) => {
        if (!from.includes("far")) return rename(from, to);
        const cause = Object.assign(new Error("EXDEV"), { code: "EXDEV" });
        return Promise.reject(new SnapshotError("UNAVAILABLE", "Cannot rename", { cause }));
      },
    });
    const error = await rejects(DirectoryStorage.open(`${root}/a`, { temp: `${root}/far`, disk }), "UNSUPPORTED");
    assert.include(error.message, "another device");
    assert.deepEqual(await namesIn(`${root}/far`), []);
    for (const temp of [`${root}/a`, `${root}/a/temp`]) {
      await rejects(DirectoryStorage.open(`${root}/a`, { temp }), "MALFORMED");
    }
    await writeFile(`${root}/file`, "");
    await rejects(DirectoryStorage.open(`${root}/a`, { temp: `${root}/file` }), "BUSY");
    const storage = await DirectoryStorage.open(`${root}/a`); // the lock was released each time
    await save(storage, 1n);
    await storage.close();
    assert.isTrue((await stat(`${root}/file`)).isFile());
  }));
