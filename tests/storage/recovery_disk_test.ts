// What a crash, or somebody else, left in the directory: what is good is found, what is not is never taken for good.

import { appendFile, cp, mkdir, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import {
  directoryOf,
  flip,
  isWhole,
  listing,
  namesIn,
  opened,
  put,
  save,
  wholeOnes,
  withTwo,
} from "../support/directory_storage.ts";

const MANIFEST = "__raft_snapshot_meta";
const DAY = 24 * 3600 * 1000;

test("what a crash left is swept; installs stay for a while", () =>
  withTwo(async (root) => {
    await put(`${root}/temp/a`, "b");
    await put(`${root}/trash-0-1`, "x");
    for (const name of ["install-9-00c0ffee", "install-8-00c0ffee"]) await put(`${root}/${name}`, "state");
    const old = (Date.now() - 8 * DAY) / 1000;
    for (const name of ["state", ""]) await utimes(`${root}/install-8-00c0ffee/${name}`, old, old);
    // Not ours: names that only look like it.
    for (const name of ["trash", "install-x", "install-9-00c0ffee.bak", "temp2", "corrupt-1-x"]) {
      await put(`${root}/${name}`, "x");
    }
    assert.deepEqual(await opened(root), { whole: [2n, 1n], damaged: [] });
    assert.deepEqual(await namesIn(root), [
      ".lock",
      "corrupt-1-x",
      "install-9-00c0ffee",
      "install-9-00c0ffee.bak",
      "install-x",
      "snapshot_00000000000000000001",
      "snapshot_00000000000000000002",
      "temp2",
      "trash",
    ]);
  }));

test("an install that began long ago stays if it was written to since", () =>
  withTwo(async (root) => {
    const install = `${root}/install-9-00c0ffee`;
    await put(`${install}/a/b`, "state");
    const old = (Date.now() - 8 * DAY) / 1000;
    for (const name of ["/a/b", "/a", ""]) await utimes(install + name, old, old);
    await opened(root);
    assert.include(await namesIn(root), "install-9-00c0ffee");
  }));

// What becomes of snapshot 2: each is found when the storage is opened, and 1 is used.
const DAMAGE: Record<string, (directory: string, outside: string) => Promise<unknown>> = {
  "a file without its last byte": (directory) => truncate(`${directory}/state`, 299_999),
  "an empty file": (directory) => truncate(`${directory}/a/b`, 0),
  "a file that is longer": (directory) => appendFile(`${directory}/state`, "x"),
  "a link in the place of a file": async (directory, outside) => {
    await rename(`${directory}/state`, outside);
    await symlink(outside, `${directory}/state`);
  },
  "a link in the place of a directory": async (directory, outside) => {
    await rename(`${directory}/a`, outside);
    await symlink(outside, `${directory}/a`);
  },
  "a link in the place of the manifest": async (directory, outside) => {
    await rename(`${directory}/${MANIFEST}`, outside);
    await symlink(outside, `${directory}/${MANIFEST}`);
  },
  "a directory in the place of a file": async (directory) => {
    await rm(`${directory}/state`);
    await mkdir(`${directory}/state`);
  },
  "a directory in the place of the manifest": async (directory) => {
    await rm(`${directory}/${MANIFEST}`);
    await mkdir(`${directory}/${MANIFEST}`);
  },
  "a file in the place of a directory": async (directory) => {
    await rm(`${directory}/a`, { recursive: true });
    await writeFile(`${directory}/a`, "x");
  },
  "the manifest of another snapshot": (directory) =>
    cp(`${directory.slice(0, -1)}1/${MANIFEST}`, `${directory}/${MANIFEST}`),
};

for (const [what, damage] of Object.entries(DAMAGE)) {
  test(`found when the storage is opened: ${what}`, () =>
    withTwo(async (root) => {
      await damage(directoryOf(root, 2n), `${root}/../outside`);
      const before = await listing(`${root}/..`);
      const looked = await DirectoryStorage.open(root, { readOnly: true });
      assert.deepEqual((await looked.list()).map(({ meta }) => meta.lastIncludedIndex), [1n]);
      await looked.close();
      assert.deepEqual(await listing(`${root}/..`), before);
      assert.deepEqual(await opened(root), { whole: [1n], damaged: [2n] });
      assert.isTrue((await namesIn(root))[1]!.startsWith("corrupt-2-"));
      assert.deepEqual(await opened(root), { whole: [1n], damaged: [] });
      const storage = await DirectoryStorage.open(root);
      await save(storage, 2n); // can be taken again
      await storage.close();
      assert.deepEqual(await opened(root), { whole: [2n, 1n], damaged: [] });
    }));
}

// What is not there may be away: nothing moves, and it is a snapshot again as soon as all of it is back.
const AWAY: Record<string, string> = { "a file": "state", "a directory": "a", "the manifest": MANIFEST };

for (const [what, name] of Object.entries(AWAY)) {
  test(`not there when the storage is opened: ${what}`, () =>
    withTwo(async (root) => {
      const path = `${directoryOf(root, 2n)}/${name}`;
      await rename(path, `${root}/../outside`);
      const warnings: string[] = [];
      const storage = await DirectoryStorage.open(root, {
        onWarning: ({ code, index }) => warnings.push(`${code} ${index}`),
      });
      assert.deepEqual(await wholeOnes(storage), [1n]);
      assert.deepEqual(warnings, ["UNAVAILABLE 2"]);
      assert.deepEqual(storage.damaged, []);
      assert.deepEqual((await storage.unreadable()).map(({ index, error }) => [index, error.code as string]), [
        [2n, "UNAVAILABLE"],
      ]);
      const [logged] = JSON.parse(JSON.stringify(await storage.unreadable()));
      assert.deepEqual([logged.index, logged.error.code], ["2", "UNAVAILABLE"]);
      await rejects(storage.open(2n), "UNAVAILABLE");
      await rejects(save(storage, 2n), "STALE"); // nothing is written over it
      const older = await DirectoryStorage.open(`${root}/../other`);
      await save(older, 2n);
      const { manifest } = await older.open();
      await older.close();
      await rejects(storage.install(manifest), "STALE"); // and nothing older is taken in
      await save(storage, 3n); // retains it, and 1 with which it would be loaded
      assert.deepEqual(await wholeOnes(storage), [3n, 1n]);
      await save(storage, 4n);
      assert.deepEqual(await wholeOnes(storage), [4n, 3n]);
      await rename(`${root}/../outside`, path);
      assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [4n, 3n, 2n]);
      assert.deepEqual(await wholeOnes(storage), [4n, 3n, 2n]);
      await storage.close();
    }));
}

test("a link that is called like a snapshot is left alone", () =>
  withTwo(async (root) => {
    await rename(directoryOf(root, 2n), `${root}/../outside`);
    await symlink(`${root}/../outside`, directoryOf(root, 2n));
    assert.deepEqual(await opened(root), { whole: [1n], damaged: [] });
  }));

test("files that the manifest does not name are no concern of ours", () =>
  withTwo(async (root) => {
    await put(directoryOf(root, 2n), "extra");
    await put(`${directoryOf(root, 2n)}/a/c`, "d");
    await put(directoryOf(root, 2n), `${MANIFEST}.tmp`, "half a mani");
    assert.deepEqual(await opened(root), { whole: [2n, 1n], damaged: [] });
  }));

test("files in the place of directories of ours", () =>
  withTwo(async (root) => {
    await put(root, "temp");
    await put(root, "trash-00");
    await put(root, "snapshot_00000000000000000009");
    await put(root, "install-9-00c0ffee");
    const storage = await DirectoryStorage.open(root);
    await save(storage, 3n);
    assert.deepEqual(await wholeOnes(storage), [3n, 2n]);
    await storage.close();
  }));

test("a file that is lost while the storage is open may be away: nothing moves", () =>
  withTwo(async (root) => {
    const storage = await DirectoryStorage.open(root);
    const reader = await storage.open();
    await rm(`${directoryOf(root, 2n)}/state`);
    const error = await rejects(bytesOf(reader.file("state")), "UNAVAILABLE");
    assert.equal(error.file, "state");
    const result = await reader.verify().result;
    assert.deepEqual(result.bad.map(({ file, chunk }) => [file, chunk]), [["state", undefined]]);
    await reader.close();
    const older = await storage.open();
    assert.equal(older.meta.lastIncludedIndex, 1n);
    await isWhole(older);
    await storage.close();
    assert.deepEqual(await namesIn(root), [
      ".lock",
      "snapshot_00000000000000000001",
      "snapshot_00000000000000000002",
    ]);
  }));

test("an empty directory, none at all, and a link to one", () =>
  inTemp(async (directory) => {
    await rejects(DirectoryStorage.open(`${directory}/none`, { readOnly: true }), "NOT_FOUND");
    assert.deepEqual(await namesIn(directory), []);
    assert.deepEqual(await opened(`${directory}/a/b/c`), { whole: [], damaged: [] });
    await symlink(`${directory}/a/b/c`, `${directory}/link`);
    const storage = await DirectoryStorage.open(`${directory}/link`);
    await save(storage, 1n);
    await storage.close();
    assert.deepEqual(await opened(`${directory}/a/b/c`), { whole: [1n], damaged: [] });
    await put(directory, "file");
    await rejects(DirectoryStorage.open(`${directory}/file`), "BUSY");
  }));

test("a bit that was flipped, of which only the manifest knows", () =>
  withTwo(async (root) => {
    await flip(`${directoryOf(root, 2n)}/a/b`, 99);
    const storage = await DirectoryStorage.open(root);
    assert.deepEqual(storage.damaged, []); // content is verified when it is read
    const reader = await storage.open();
    await rejects(bytesOf(reader.file("a/b")), "CORRUPT");
    await reader.close();
    assert.deepEqual(await wholeOnes(storage), [1n]);
    await storage.close();
    assert.deepEqual(await opened(root), { whole: [1n], damaged: [] });
  }));
