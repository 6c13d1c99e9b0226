// Bytes that change on the disk, and disks that do not give them back.

import { appendFile, mkdir, rename, rm, symlink } from "node:fs/promises";
import { SnapshotManifest } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { contentOf, directoryOf, flip, listing, namesIn, save, wholeOnes } from "../support/directory_storage.ts";
import { missingOf, writeChunk } from "../support/installs.ts";

const CHUNK = 256 * 1024;

/** A storage with the snapshots 1 and 2; `broken` says what fails from now on, if anything. */
function withTwo(work: (storage: DirectoryStorage, root: string, broken: { at?: RegExp }) => Promise<void>) {
  return inTemp(async (root) => {
    const broken: { at?: RegExp } = {};
    const storage = await DirectoryStorage.open(root, {
      disk: new FaultyDisk((what) => broken.at?.test(what) ?? false),
    });
    await save(storage, 1n);
    await save(storage, 2n);
    await work(storage, root, broken);
    delete broken.at;
    await storage.close();
  });
}

/** The snapshot 2 as snapshot 3: all its files are here. */
async function threeFromTwo(storage: DirectoryStorage): Promise<SnapshotManifest> {
  const reader = await storage.open(2n);
  await reader.close();
  return await SnapshotManifest.of({ ...reader.meta, lastIncludedIndex: 3n }, reader.manifest.files);
}

/** Receives what is missing of {@linkcode threeFromTwo}, and says what that was. */
async function receive(storage: DirectoryStorage, manifest: SnapshotManifest): Promise<string[]> {
  const install = await storage.install(manifest);
  try {
    await install.prepare();
    const missing = [...missingOf(install)];
    for (const { number, name, start, end } of missing) {
      await install.write(number, contentOf(2n)[name]!.slice(start, end));
    }
    await install.commit();
    return missing.map(({ name, chunk }) => `${name} ${chunk}`);
  } finally {
    await install.close();
  }
}

async function isThree(storage: DirectoryStorage): Promise<void> {
  const reader = await storage.open(3n);
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
}

test("a flipped bit: reading names file and chunk, and hands on nothing of it", () =>
  withTwo(async (storage, root) => {
    await flip(`${directoryOf(root, 2n)}/state`, CHUNK + 5);
    const reader = await storage.open();
    // What lies in the other chunk is good.
    assert.deepEqual(await bytesOf(reader.file("state", { end: CHUNK })), contentOf(2n).state!.slice(0, CHUNK));
    assert.equal((await storage.list()).length, 2);
    const stream = reader.file("state").getReader();
    assert.equal((await stream.read()).value!.length, CHUNK);
    const error = await rejects(stream.read(), "CORRUPT");
    assert.deepEqual([error.file, error.chunk], ["state", 1]);
    for (const start of [CHUNK, CHUNK + 6]) {
      const { chunk } = await rejects(bytesOf(reader.file("state", { start, end: start + 1 })), "CORRUPT");
      assert.equal(chunk, 1);
    }
    assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [1n]);
    await rejects(storage.open(2n), "NOT_FOUND");
    assert.include(await namesIn(root), "snapshot_00000000000000000002"); // as long as it is being read
    await reader.close();
    assert.deepEqual(await wholeOnes(storage), [1n]);
    await storage.close();
    assert.match((await namesIn(root)).join(), /^\.lock,corrupt-2-[^,]*,snapshot_0{19}1$/);
  }));

test("flipped bits in several files: verifying lists them all, and the one before is used", () =>
  withTwo(async (storage, root) => {
    for (const at of [0, CHUNK]) await flip(`${directoryOf(root, 2n)}/state`, at, 128);
    await flip(`${directoryOf(root, 2n)}/a/b`, 99);
    const reader = await storage.open();
    const result = await reader.verify().result;
    assert.isFalse(result.ok);
    assert.deepEqual(result.bad.map(({ file, chunk }) => `${file} ${chunk}`), ["a/b 0", "state 0", "state 1"]);
    await reader.close();
    const older = await storage.open();
    assert.equal(older.meta.lastIncludedIndex, 1n);
    await older.close();
  }));

test("what cannot be read may be good: verifying lists it, and it is not put aside", () =>
  withTwo(async (storage, _root, broken) => {
    const reader = await storage.open();
    for (const at of [/^read .*\/snapshot_0+2\/state/, /^read .*\/snapshot_0+2\/state|^open/]) {
      broken.at = at;
      const result = await reader.verify().result;
      assert.isFalse(result.ok);
      assert.include(result.bad.map(({ file }) => file), "state");
    }
    await rejects(bytesOf(reader.file("state")), "UNAVAILABLE");
    delete broken.at;
    await reader.close();
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
  }));

test("a snapshot whose reader is closed while it is verified is not put aside", () =>
  inTemp(async (root) => {
    const storage = await DirectoryStorage.open(root);
    const writer = await storage.create();
    await pieces(noise(5_000_000, 1)).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    for (let chunks = 0; chunks < 10; chunks++) {
      const reader = await storage.open();
      const verifying = reader.verify();
      for await (const progress of verifying) if (progress.chunks >= chunks) break;
      await reader.close();
      await rejects(verifying.result, "CLOSED");
    }
    assert.equal((await storage.list()).length, 1);
    await storage.close();
    assert.deepEqual(await namesIn(root), [".lock", "snapshot_00000000000000000001"]);
  }));

test("ranges that are none are refused, and cost nothing", () =>
  withTwo(async (storage) => {
    const reader = await storage.open();
    for (const range of [{ start: -1 }, { start: NaN }, { start: 0.5 }, { end: -1 }, { start: 0, end: NaN }]) {
      await rejects(bytesOf(reader.file("state", range)), "MALFORMED");
    }
    assert.equal((await bytesOf(reader.file("state", { start: 5, end: 2 }))).length, 0);
    await reader.close();
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
  }));

const UNUSABLE: Record<string, (path: string, broken: { at?: RegExp }) => Promise<unknown> | unknown> = {
  "has a flipped bit": (path) => flip(path, CHUNK + 1),
  "is gone": (path) => rm(path),
  "is longer": (path) => appendFile(path, "x"),
  "cannot be read": (_path, broken) => broken.at = /^(read|open|link) .*\/snapshot_0+2\/state/,
  "cannot be read through its other name either": (_path, broken) => broken.at = /^read .*\/state/,
};

for (const [what, damage] of Object.entries(UNUSABLE)) {
  test(`an install takes no file of which the copy that is here ${what}`, () =>
    withTwo(async (storage, root, broken) => {
      const manifest = await threeFromTwo(storage);
      await damage(`${directoryOf(root, 2n)}/state`, broken);
      const fetched = await receive(storage, manifest);
      assert.match(fetched.join(), /^(state 0,state 1)?$|^state [01]$/); // nothing, if its chunks are right
      delete broken.at;
      await isThree(storage);
    }));
}

test("an install that was damaged while it lay there is mended", () =>
  withTwo(async (storage, root) => {
    const manifest = await threeFromTwo(storage);
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    const [directory] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    await appendFile(`${root}/${directory}/state`, "x"); // a link: the file of snapshot 2 is longer too
    await receive(storage, manifest);
    await isThree(storage);
  }));

test("chunks that could not be made durable are asked for again", () =>
  withTwo(async (storage, root, broken) => {
    const manifest = await threeFromTwo(storage);
    await rm(`${directoryOf(root, 2n)}/state`); // so that it has to be written
    broken.at = /^sync .*\/state$/;
    await rejects(receive(storage, manifest), "UNAVAILABLE");
    delete broken.at;
    assert.deepEqual(await receive(storage, manifest), ["state 0", "state 1"]);
    await isThree(storage);
  }));

test("what an earlier install left is made durable too: it may be in the page cache only", () =>
  withTwo(async (storage, _root, broken) => {
    const manifest = await threeFromTwo(storage);
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    for (const name of ["a/b", "same", "state"]) {
      broken.at = new RegExp(`^sync .*/${name}$`);
      await rejects(receive(storage, manifest), "UNAVAILABLE");
    }
    delete broken.at;
    await receive(storage, manifest);
    await isThree(storage);
  }));

test("chunks that come twice while a file cannot be made durable leave no hole", () =>
  withTwo(async (storage, root, broken) => {
    const manifest = await threeFromTwo(storage);
    await rm(`${directoryOf(root, 2n)}/state`);
    const install = await storage.install(manifest);
    await install.prepare();
    const { state } = contentOf(2n);
    const write = (i: number) => writeChunk(install, "state", i, state!.slice(i * CHUNK, (i + 1) * CHUNK));
    for (let round = 0; round < 20; round++) {
      broken.at = /^sync .*\/state$/;
      await Promise.allSettled([0, 1, 1, 0, 1, 0].map(write));
      delete broken.at;
      await Promise.allSettled([...missingOf(install)].map(({ chunk }) => write(chunk)));
      const [run] = install.missing();
      if (run !== undefined) await rejects(install.commit(), "MALFORMED");
    }
    for (const { chunk } of missingOf(install)) await write(chunk);
    await install.commit();
    await install.close();
    await isThree(storage);
  }));

test("an install that is closed while it is being prepared, and while chunks come", () =>
  withTwo(async (storage, root) => {
    const manifest = await threeFromTwo(storage);
    await rm(`${directoryOf(root, 2n)}/state`);
    const { state } = contentOf(2n);
    for (let round = 0; round < 10; round++) {
      const install = await storage.install(manifest);
      const preparing = install.prepare().catch((error) => assert.equal(error.code, "CLOSED"));
      if (round % 2 === 0) await preparing;
      const writing = [0, 1].map((i) => writeChunk(install, "state", i, state!.slice(i * CHUNK, (i + 1) * CHUNK)));
      const settled = Promise.allSettled(writing);
      await install.close();
      const names = await listing(root);
      await settled;
      await preparing;
      assert.deepEqual(await listing(root), names); // nothing went on after the end
    }
    await receive(storage, manifest);
    await isThree(storage);
  }));

test("an install whose directory leads elsewhere is refused", () =>
  withTwo(async (storage, root) => {
    const manifest = await threeFromTwo(storage);
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    const [directory] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    await rename(`${root}/${directory}/a`, `${root}/elsewhere`);
    await symlink(`${root}/elsewhere`, `${root}/${directory}/a`);
    const before = await listing(`${root}/elsewhere`);
    await rejects(receive(storage, manifest), "CORRUPT");
    assert.deepEqual(await listing(`${root}/elsewhere`), before);
  }));

test("an install in a storage that is only looked at changes nothing", () =>
  withTwo(async (storage, root) => {
    const manifest = await threeFromTwo(storage);
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    const [directory] = (await namesIn(root)).filter((name) => name.startsWith("install-"));
    await rm(`${root}/${directory}/state`);
    const before = await listing(root);
    const looking = await DirectoryStorage.open(root, { readOnly: true });
    await rejects(receive(looking, manifest), "FORBIDDEN");
    await looking.close();
    assert.deepEqual(await listing(root), before);
  }));

test("an install is acknowledged though what it leaves behind cannot be removed", () =>
  withTwo(async (storage, _root, broken) => {
    const manifest = await threeFromTwo(storage);
    broken.at = /^list/;
    const install = await storage.install(manifest);
    await rejects(install.prepare(), "UNAVAILABLE");
    delete broken.at;
    await install.prepare();
    broken.at = /^list|^remove .*\/trash-|^rename .*\/snapshot_0+1$/;
    assert.equal((await install.commit()).meta.lastIncludedIndex, 3n);
    await install.close();
    await isThree(storage);
  }));

test("a directory in the place of a file, since the snapshot was opened, is damage", () =>
  withTwo(async (storage, root) => {
    const reader = await storage.open(2n);
    await rm(`${directoryOf(root, 2n)}/same`);
    await mkdir(`${directoryOf(root, 2n)}/same`);
    await rejects(bytesOf(reader.file("same")), "CORRUPT");
    await reader.close();
    assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [1n]); // the other is used
  }));
