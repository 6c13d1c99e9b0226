// Symbolic links that somebody puts into a storage: nothing behind them is read, written, made or removed.
// Those that are there when the storage is opened, in the place of what a manifest names, are in recovery_disk_test.ts.

import { cp, lstat, mkdir, rm, symlink, utimes } from "node:fs/promises";
import process from "node:process";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, bytesOf, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import {
  contentOf,
  directoryOf,
  isWhole,
  listing,
  namesIn,
  put,
  save,
  wholeOnes,
} from "../support/directory_storage.ts";
import { beside, replace } from "./outside.ts";

const META = { lastIncludedTerm: 1n, peers: [] };

test("links: what is swept when a storage is opened", () =>
  beside(async (storage, root, outside) => {
    await storage.close();
    const old = Date.now() / 1000 - 30 * 24 * 3600;
    for (const name of ["trash-00", "install-9-00c0ffee"]) {
      await mkdir(`${root}/${name}/a`, { recursive: true });
      await symlink(outside, `${root}/${name}/link`);
      await symlink(`${outside}/b`, `${root}/${name}/a/b`);
      for (const at of ["/a", ""]) await utimes(`${root}/${name}${at}`, old, old);
    }
    const links = ["install-8-00c0ffee", "temp", "trash-01"];
    for (const name of links) await symlink(outside, `${root}/${name}`);
    // An install is as old as the newest in it, and the links were made now: removed as too old only with none.
    const again = await DirectoryStorage.open(root, { keepInstalls: 0 });
    assert.deepEqual(await wholeOnes(again), [2n, 1n]);
    assert.includeMembers(await namesIn(root), links);
    assert.notIncludeMembers(await namesIn(root), ["trash-00"]);
    await save(again, 3n); // in the place of the link that was called `temp`
    await again.close();
    assert.isTrue((await lstat(outside)).isDirectory());
  }));

test("links: a file written into a place that was replaced", () =>
  beside(async (storage, root, outside) => {
    const writer = await storage.create();
    await replace(`${root}/temp`, outside);
    for (const name of ["new", "e/new"]) {
      await rejects(pieces(contentOf(3n).state!).pipeTo(writer.file(name)), "CORRUPT");
    }
    await writer.abort();
    assert.notInclude(await namesIn(root), "temp");
  }));

test("links: a file written into a directory that was replaced", () =>
  beside(async (storage, root, outside) => {
    const writer = await storage.create();
    await pieces(contentOf(3n)["a/b"]!).pipeTo(writer.file("a/b"));
    await replace(`${root}/temp/a`, outside);
    for (const name of ["a/new", "a/d/new", "a/e/new"]) {
      await rejects(pieces(contentOf(3n).state!).pipeTo(writer.file(name)), "CORRUPT");
    }
    await rejects(writer.commit({ lastIncludedIndex: 3n, ...META }), "MALFORMED"); // they were not written to their end
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
  }));

test("links: a link in the place of a file that is to be made", () =>
  beside(async (storage, root, outside) => {
    const writer = await storage.create();
    await symlink(`${outside}/none`, `${root}/temp/dangling`);
    await symlink(`${outside}/b`, `${root}/temp/b`);
    for (const name of ["dangling", "b"]) await rejects(pieces(contentOf(3n).state!).pipeTo(writer.file(name)), "BUSY");
    await writer.abort();
  }));

test("links: a commit of a place that was replaced", () =>
  beside(async (storage, root, outside) => {
    const writer = await storage.create();
    await pieces(contentOf(3n)["a/b"]!).pipeTo(writer.file("a/b"));
    await replace(`${root}/temp`, outside);
    await rejects(writer.commit({ lastIncludedIndex: 3n, ...META }), "CORRUPT");
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
    await save(storage, 3n);
    assert.deepEqual(await wholeOnes(storage), [3n, 2n]);
  }));

for (const links of [true, false]) {
  test(`links: files ${links ? "linked" : "copied"} out of a snapshot, and into a place, that were replaced`, () => {
    const disk = new FaultyDisk(() => false);
    if (!links) disk.link = () => Promise.resolve(false);
    return beside(async (storage, root, outside) => {
      const reader = await storage.open();
      const files = reader.manifest.files.map((file) => ({ ...file, name: `of/new/${file.name}` }));
      await reader.close();
      const first = await storage.create();
      await symlink(outside, `${root}/temp/of`);
      await rejects(first.reuse(files), "CORRUPT");
      await first.abort();
      const second = await storage.create();
      const lookalike = `${outside}-lookalike`; // with files of the right sizes
      await put(lookalike, "state", new Uint8Array(300_000));
      await put(`${lookalike}/a`, "b", new Uint8Array(100));
      await replace(directoryOf(root, 2n), lookalike);
      assert.isFalse(await second.reuse(files.filter(({ name }) => name !== "of/new/same"))); // which 1 has too
      await second.abort();
    }, disk);
  });
}

test("links: a snapshot that is replaced while it is open is not read", () =>
  beside(async (storage, root, outside) => {
    const reader = await storage.open();
    await replace(directoryOf(root, 2n), outside);
    for (const name of ["state", "a/b"]) {
      const error = await rejects(bytesOf(reader.file(name)), "CORRUPT");
      assert.include(error.message, "is not a directory"); // and not that what was read is wrong
    }
    assert.isFalse((await reader.verify().result).ok);
    await reader.close(); // puts the link aside
    assert.deepEqual(await wholeOnes(storage), [1n]);
  }));

test("links: a snapshot without digests that is replaced while it is open is not read", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    await cp(`${process.cwd()}/tests/fixtures/braft/bigint/storage`, root, { recursive: true });
    const storage = await DirectoryStorage.open(root);
    const reader = await storage.open();
    const { name } = reader.manifest.files[0]!;
    const place = directoryOf(root, reader.meta.lastIncludedIndex);
    await cp(place, `${directory}/outside`, { recursive: true });
    await replace(place, `${directory}/outside`);
    await rejects(bytesOf(reader.file(name)), "CORRUPT");
    await rejects(reader.size(name), "CORRUPT");
    assert.isFalse((await reader.verify().result).ok);
    await storage.close();
  }));

test("links: snapshots that were replaced, or have links in them, are removed without what is behind", () =>
  beside(async (storage, root, outside) => {
    await replace(directoryOf(root, 1n), outside);
    await symlink(outside, `${directoryOf(root, 2n)}/link`);
    await symlink(outside, `${directoryOf(root, 2n)}/a/link`);
    await save(storage, 3n);
    await save(storage, 4n);
    assert.deepEqual(await wholeOnes(storage), [4n, 3n]);
    assert.lengthOf(await namesIn(root), 3); // and the lock
  }));

test("links: a lock that is one is refused", () =>
  beside(async (storage, root, outside) => {
    await storage.close();
    const lock = `${root}/.lock`;
    await rm(lock);
    const { DatabaseSync } = await import("node:sqlite");
    const path = `${root}/../database`;
    const database = new DatabaseSync(path);
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x)"); // which taking the lock would change
    database.close();
    const before = await listing(`${root}/..`);
    for (const target of [path, `${outside}/none`, `${outside}/b`, outside]) {
      await symlink(target, lock);
      await rejects(DirectoryStorage.open(root), "FORBIDDEN");
      await rm(lock);
    }
    await mkdir(lock);
    await rejects(DirectoryStorage.open(root), "FORBIDDEN");
    await rm(lock, { recursive: true });
    assert.deepEqual((await listing(`${root}/..`)).filter((line) => !line.startsWith("/storage ")), without(before));
    const again = await DirectoryStorage.open(root);
    assert.deepEqual(await wholeOnes(again), [2n, 1n]);
    await again.close();
  }));

function without(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith("/storage "));
}

test("links: a storage that is reached through one is the same, and only that", () =>
  beside(async (storage, root) => {
    await storage.close();
    await symlink(root, `${root}-link`);
    const linked = await DirectoryStorage.open(`${root}-link`);
    await rejects(DirectoryStorage.open(root), "BUSY");
    const reader = await linked.open();
    await isWhole(reader);
    await reader.close();
    await linked.close();
  }));
