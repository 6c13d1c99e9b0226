// Who may do what with the files of a storage: what the umask leaves, and the lock for its owner alone.

import { chmod, lstat, mkdir, readdir } from "node:fs/promises";
import process from "node:process";
import { archive, unarchive } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, pieces, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { contentOf, directoryOf, flip, save } from "../support/directory_storage.ts";
import { writeChunk } from "../support/installs.ts";

const CHUNK = 262_144;

/** The modes of everything in a directory, by what it is. */
async function modesIn(root: string): Promise<{ file: Set<string>; directory: Set<string>; lock: string }> {
  const modes = { file: new Set<string>(), directory: new Set<string>(), lock: "" };
  for (const name of ["", ...await readdir(root, { recursive: true })]) {
    const stat = await lstat(`${root}/${name}`);
    const mode = (stat.mode & 0o7777).toString(8);
    if (name === ".lock") modes.lock = mode;
    else modes[stat.isDirectory() ? "directory" : "file"].add(mode);
  }
  return modes;
}

/** Does something with a umask. It is the process's: nothing else goes on meanwhile. */
async function withUmask<T>(mask: number, work: () => Promise<T>): Promise<T> {
  const before = process.umask(mask);
  try {
    return await work();
  } finally {
    process.umask(before);
  }
}

/** Everything that a storage makes: snapshots that were saved, received and taken in, some given up half-way. */
async function fill(root: string, look: () => Promise<void>): Promise<void> {
  const storage = await DirectoryStorage.open(root, { retain: 9 });
  const other = await DirectoryStorage.open(`${root}/../other`);
  await save(storage, 1n);
  await save(storage, 2n);
  await flip(`${directoryOf(root, 1n)}/state`, 0);
  await storage.quarantine(1n, "a test");
  for (const index of [3n, 4n, 5n]) {
    await save(other, index);
    const reader = await other.open(index);
    if (index === 3n) {
      await unarchive(archive(reader), storage).result;
    } else {
      const install = await storage.install(reader.manifest);
      await install.prepare();
      await writeChunk(install, "a/b", 0, contentOf(index)["a/b"]!);
      const state = contentOf(index).state!;
      for (const i of [0, 1]) await writeChunk(install, "state", i, state.slice(i * CHUNK, (i + 1) * CHUNK));
      await writeChunk(install, "same", 0, contentOf(index).same!);
      await (index === 4n ? install.commit() : install.close());
    }
    await reader.close();
  }
  const writer = await storage.create();
  await pieces(contentOf(6n)["a/b"]!).pipeTo(writer.file("a/b"));
  await look();
  await storage.close();
  await other.close();
}

for (
  const [mask, file, directory, lock] of [
    [0o000, "666", "777", "600"],
    [0o022, "644", "755", "600"],
    [0o077, "600", "700", "600"],
  ] as const
) {
  test(`modes: with the umask ${mask.toString(8).padStart(3, "0")}`, () =>
    inTemp(async (parent) => {
      const root = `${parent}/a/storage`;
      const look = async () => {
        assert.deepEqual(await modesIn(root), { file: new Set([file]), directory: new Set([directory]), lock });
        assert.lengthOf(await readdir(root), 7); // the lock, what is being written, received, put aside, and three
      };
      await withUmask(mask, () => fill(root, look));
    }));
}

test("modes: a root that was made for its owner alone stays so", () =>
  inTemp(async (parent) => {
    const root = `${parent}/storage`;
    await mkdir(root, { mode: 0o700 });
    await withUmask(0, () => fill(root, async () => assert.equal((await lstat(root)).mode & 0o7777, 0o700)));
  }));

test("modes: what is made of an odd file has none of its oddness", () =>
  inTemp(async (parent) => {
    const root = `${parent}/storage`;
    const source = await DirectoryStorage.open(`${parent}/source`);
    await save(source, 1n);
    const place = directoryOf(`${parent}/source`, 1n);
    for (const name of ["state", "a/b", "__raft_snapshot_meta"]) await chmod(`${place}/${name}`, 0o6777);
    await chmod(`${place}/a`, 0o3777);
    await withUmask(0o022, async () => {
      const storage = await DirectoryStorage.open(root);
      const reader = await source.open();
      await unarchive(archive(reader), storage).result;
      await reader.close();
      await storage.close();
    });
    await source.close();
    const expected = { file: new Set(["644"]), directory: new Set(["755"]), lock: "600" };
    assert.deepEqual(await modesIn(root), expected);
  }));
