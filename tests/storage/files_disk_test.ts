// Files of the disk that go into a snapshot (`add`, `addFiles`), are taken out again (`remove`), and come out of it as
// files (`extract`).

import { execFileSync } from "node:child_process";
import { appendFile, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import process from "node:process";
import { EncryptedStorage, hasCode, MemoryStorage, SnapshotError, type SnapshotStorage } from "../../mod.ts";
import { addFiles, DirectoryStorage, extract } from "../../src/fs.ts";
import { defaultDisk, type Disk } from "../../src/fs/mod.ts";
import { equal } from "../../src/stream/mod.ts";
import { assert, bytesOf, closing, noise, pieces, rejects, test } from "../support/harness.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { namesIn, put } from "../support/directory_storage.ts";
import { overriding } from "../support/overriding.ts";
import { inTemp } from "../support/temp.ts";

const META = { lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] };
const BIG = noise(3_000_001, 3);

/** A directory with three files, one of them in a directory, and one that is empty. */
async function dump(root: string): Promise<string> {
  await put(`${root}/dump`, "big", BIG);
  await put(`${root}/dump/in/side`, "small", "text");
  await put(`${root}/dump`, "empty", "");
  return `${root}/dump`;
}

async function isDump(directory: string): Promise<void> {
  assert.isTrue(equal(new Uint8Array(await readFile(`${directory}/big`)), BIG));
  assert.equal(await readFile(`${directory}/in/side/small`, "utf8"), "text");
  assert.equal((await lstat(`${directory}/empty`)).size, 0);
  assert.deepEqual(await namesIn(directory), ["big", "empty", "in"]);
}

async function storages(root: string): Promise<[string, SnapshotStorage][]> {
  const key = { id: "k", secret: noise(32, 1) };
  return [
    ["directory", await DirectoryStorage.open(`${root}/one`)],
    ["memory", new MemoryStorage()],
    ["encrypted", new EncryptedStorage(await DirectoryStorage.open(`${root}/two`), [key])],
  ];
}

/** A disk of the runtime on which some verbs are others. */
function diskWith(own: Partial<Disk>): Disk {
  return overriding(defaultDisk(), own);
}

test("files: a directory goes into a snapshot of any storage, and comes out as it was", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    for (const [name, storage] of await storages(root)) {
      const writer = await storage.create();
      const added = await addFiles(writer, path, "");
      assert.deepEqual(added.map(({ name }) => name), ["big", "empty", "in/side/small"], name);
      await writer.commit(META);
      const reader = await storage.open();
      const verified = await reader.verify().result;
      assert.isTrue(verified.ok, name);
      const { files, bytes } = await extract(reader, `${root}/out/${name}`);
      assert.deepEqual([files, bytes], [3, BIG.length + 4]);
      await isDump(`${root}/out/${name}`);
      await reader.close();
      await storage.close();
    }
    await isDump(path);
  }));

test("files: the names that a file and a directory get", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    const storage = closing(await DirectoryStorage.open(`${root}/s`));
    const writer = await storage.create();
    await writer.add(path);
    await writer.add(`${path}/`, "again");
    await writer.add(`${path}/big`);
    await writer.add(`${path}/big`, "x/y");
    assert.deepEqual(writer.files().map(({ name }) => name), [
      ...["dump/big", "dump/empty", "dump/in/side/small"],
      ...["again/big", "again/empty", "again/in/side/small"],
      ...["big", "x/y"],
    ]);
    await writer.commit(META);
  }));

test("files: a link shares the file, anything else does not", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    const storage = closing(await DirectoryStorage.open(`${root}/s`));
    const writer = await storage.create();
    await writer.add(`${path}/big`, "linked", { immutable: true });
    await writer.add(`${path}/big`, "own");
    await writer.commit(META);
    const at = `${root}/s/snapshot_00000000000000000001`;
    const inode = (await lstat(`${path}/big`)).ino;
    assert.equal((await lstat(`${at}/linked`)).ino, inode);
    assert.notEqual((await lstat(`${at}/own`)).ino, inode);
    await appendFile(`${path}/big`, "more");
    const reader = closing(await storage.open());
    assert.isTrue(equal(await bytesOf(reader.file("own")), BIG));
  }));

test("files: a link that the disk cannot make, or may only read, becomes a copy", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    let forbidden = 0;
    const disk = diskWith({
      link: (from, to) => from.endsWith("empty") ? Promise.resolve(false) : defaultDisk().link(from, to),
      clone: () => Promise.resolve(false),
      open: async (path, mode) => {
        if (mode !== "update" || !path.endsWith("big")) return await defaultDisk().open(path, mode);
        forbidden++;
        throw new SnapshotError("FORBIDDEN", "EACCES");
      },
    });
    const storage = closing(await DirectoryStorage.open(`${root}/s`, { disk }));
    const writer = await storage.create();
    await writer.add(path, "", { immutable: true });
    await writer.commit(META);
    assert.equal(forbidden, 1);
    const reader = closing(await storage.open());
    await extract(reader, `${root}/out`);
    await isDump(`${root}/out`);
  }));

test("files: what is no file is in no snapshot, and nothing of its directory stays", () =>
  inTemp(async (root) => {
    if (process.platform === "win32") return;
    const storage = closing(await DirectoryStorage.open(`${root}/s`));
    await put(root, "outside", "secret");
    const make: Record<string, (at: string) => unknown> = {
      fifo: (at) => execFileSync("mkfifo", [at]),
      link: (at) => symlink(`${root}/outside`, at),
      dangling: (at) => symlink(`${root}/nowhere`, at),
      linked: (at) => symlink(root, at), // a directory, of which it would be itself a part
    };
    const memory = new MemoryStorage();
    for (const [kind, it] of Object.entries(make)) {
      const directory = `${root}/${kind}`;
      await put(`${directory}/a`, "file");
      await it(`${directory}/a/z`);
      for (const writer of [await storage.create(), await memory.create()]) {
        for (const path of [directory, `${directory}/a/z`]) {
          const error = await rejects(addFiles(writer, path), "MALFORMED");
          assert.include(error.file, `${kind}/a/z`);
        }
        assert.deepEqual(writer.files(), []);
        await writer.abort();
      }
    }
    const writer = await storage.create();
    await rejects(writer.add(`${root}/none`), "NOT_FOUND");
    for (const path of [`${root}/s`, root, `${root}/s/temp`, `${root}/x/..`, "/"]) {
      await rejects(writer.add(path), "MALFORMED");
    }
    await writer.abort();
  }));

test("files: one that changes while it is added", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    const changes: Record<string, () => Promise<void>> = {
      longer: () => appendFile(`${path}/big`, "x"),
      other: () => writeFile(`${path}/big`, noise(BIG.length, 4)),
      shorter: () => writeFile(`${path}/big`, "x"),
      gone: () => rm(`${path}/big`),
    };
    for (const link of [true, false]) {
      for (const [kind, change] of Object.entries(changes)) {
        await writeFile(`${path}/big`, BIG);
        let reads = 0;
        const disk = diskWith({
          clone: () => Promise.resolve(false),
          open: async (at, mode) => {
            const file = await defaultDisk().open(at, mode);
            if (!at.endsWith("big")) return file;
            return overriding(file, {
              read: async (buffer, position) => {
                if (reads++ === 1) await change();
                return await file.read(buffer, position);
              },
            });
          },
        });
        const storage = closing(await DirectoryStorage.open(`${root}/s`, { disk }));
        const writer = await storage.create();
        await rejects(writer.add(path, "", { immutable: link }), "BUSY");
        assert.isAbove(reads, 1);
        assert.deepEqual(writer.files(), [], `${kind} ${link}`);
        await writeFile(`${path}/big`, BIG);
        await writer.add(path, ""); // its names are free
        await writer.commit({ ...META, lastIncludedIndex: BigInt(reads) });
        assert.equal((await storage.list()).length, 1);
        await storage.close();
        await rm(`${root}/s`, { recursive: true });
      }
    }
  }));

test("files: a name that is there is refused, and the file that has it stays", () =>
  inTemp(async (root) => {
    const path = await dump(root);
    const storage = closing(await DirectoryStorage.open(`${root}/s`));
    const writer = await storage.create();
    await pieces(noise(10, 1)).pipeTo(writer.file("dump/in/side/small"));
    await rejects(writer.add(path), "MALFORMED");
    assert.deepEqual(writer.files().map(({ name }) => name), ["dump/in/side/small"]);
    await writer.commit(META);
    const reader = closing(await storage.open());
    assert.isTrue(equal(await bytesOf(reader.file("dump/in/side/small")), noise(10, 1)));
  }));

test("remove: what was written, aborted, is open, or was reused is taken out, and its name is free", () =>
  inTemp(async (root) => {
    for (const [kind, storage] of await storages(root)) {
      const first = await storage.create();
      await pieces(noise(1000, 1)).pipeTo(first.file("old"));
      await first.commit(META);
      const reader = closing(await storage.open());

      const writer = await storage.create();
      await pieces(noise(400_000, 2)).pipeTo(writer.file("whole"));
      const aborted = writer.file("aborted");
      await aborted.abort(new Error("no more"));
      const open = writer.file("open").getWriter();
      open.closed.catch(() => {});
      await open.write(noise(400_000, 3));
      assert.isTrue(await writer.reuse([reader.info("old")]));
      for (const name of ["whole", "aborted", "open", "old"]) await writer.remove(name);
      await rejects(open.write(noise(1, 1)).then(() => open.close()), "CLOSED"); // when it is told, if it encrypts
      assert.deepEqual(writer.files(), []);
      for (const name of ["whole", "none"]) await rejects(writer.remove(name), "NOT_FOUND");
      await pieces(noise(300_000, 5)).pipeTo(writer.file("open"));
      const { meta, files } = await writer.commit({ ...META, lastIncludedIndex: 2n });
      assert.equal(files, 1, kind);
      assert.isUndefined(meta.parentIndex); // nothing in it is of the other
      await rejects(writer.remove("open"), "CLOSED");
      const second = closing(await storage.open());
      assert.isTrue(equal(await bytesOf(second.file("open")), noise(300_000, 5)));
      await second.close();
      await reader.close();
      await storage.close();
    }
    assert.deepEqual(await namesIn(`${root}/one/snapshot_00000000000000000002`), ["__raft_snapshot_meta", "open"]);
  }));

test("extract: only into a directory that is new or empty", () =>
  inTemp(async (root) => {
    const storage = new MemoryStorage();
    const writer = await storage.create();
    await addFiles(writer, await dump(root), "");
    await writer.commit(META);
    const reader = closing(await storage.open());
    await put(root, "file", "mine");
    await put(`${root}/full`, "mine", "mine");
    await symlink(`${root}/nowhere`, `${root}/link`);
    await mkdir(`${root}/empty`);
    for (const name of ["file", "full", "link"]) await rejects(extract(reader, `${root}/${name}`), "BUSY");
    assert.equal(await readFile(`${root}/file`, "utf8"), "mine");
    assert.deepEqual(await namesIn(`${root}/full`), ["mine"]);
    await extract(reader, `${root}/empty`);
    await isDump(`${root}/empty`);
    await rejects(extract(reader, `${root}/empty`), "BUSY");
    const stopped = AbortSignal.abort();
    await rejects(extract(reader, `${root}/never`, { signal: stopped }), "CANCELLED");
    assert.deepEqual(await namesIn(root), ["dump", "empty", "file", "full", "link"]);
  }));

test("extract: whatever fails, nothing is there", () =>
  inTemp(async (root) => {
    const storage = new MemoryStorage();
    const writer = await storage.create();
    await addFiles(writer, await dump(root), "");
    await writer.commit(META);
    const reader = closing(await storage.open());
    let steps = 0;
    let failing = 0;
    for (failing = 0; failing < 1000; failing++) {
      steps = 0;
      const disk = new FaultyDisk((what) => !what.startsWith("remove") && steps++ === failing);
      try {
        await extract(reader, `${root}/made/out`, { disk });
        break; // fewer steps than that
      } catch (error) {
        if (!hasCode(error, "UNAVAILABLE")) throw error;
      }
      const there = await namesIn(`${root}/made`).catch(() => []);
      assert.deepEqual(there, [], `step ${failing}`);
    }
    assert.isAbove(failing, 20);
    await isDump(`${root}/made/out`);
  }));

test("extract: a damaged snapshot is not extracted", () =>
  inTemp(async (root) => {
    const storage = closing(await DirectoryStorage.open(`${root}/s`));
    const writer = await storage.create();
    await writer.add(await dump(root), "");
    await writer.commit(META);
    const path = `${root}/s/snapshot_00000000000000000001/big`;
    const bytes = new Uint8Array(await readFile(path));
    bytes[2_000_000]! ^= 1;
    await writeFile(path, bytes);
    const reader = closing(await storage.open());
    await rejects(extract(reader, `${root}/out`), "CORRUPT");
    assert.deepEqual((await readdir(root)).sort(), ["dump", "s"]);
  }));

test("extract: names that a file system takes for one", () =>
  inTemp(async (root) => {
    const storage = new MemoryStorage();
    const writer = await storage.create();
    for (const name of ["name", "Name"]) await pieces(noise(10, 1)).pipeTo(writer.file(name));
    await writer.commit(META);
    const reader = closing(await storage.open());
    const disk = diskWith({ open: (path, mode) => defaultDisk().open(path.replace(/Name$/, "name"), mode) });
    const error = await rejects(extract(reader, `${root}/out`, { disk }), "UNSUPPORTED");
    assert.include(error.message, "same name");
    assert.deepEqual(await namesIn(root), []);
  }));
