// What a directory storage makes of doubts: disks that fail, directories that are away, locks that are removed.

import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { SnapshotError, snapshotHandler } from "../../mod.ts";
import { DirectoryStorage, type DirectoryStorageOptions } from "../../src/storage/directory/storage.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { contentOf, directoryOf, flip, isWhole, namesIn, put, save, wholeOnes } from "../support/directory_storage.ts";

const MANIFEST = "__raft_snapshot_meta";
const indices = async (storage: DirectoryStorage) =>
  (await storage.list()).map(({ meta }) => Number(meta.lastIncludedIndex));

/** A disk of which something fails, as it is said. */
class Disk extends FaultyDisk {
  failing: RegExp | undefined;
  constructor() {
    super((what) => this.failing?.test(what) ?? false);
  }
}

/** A root with the snapshots 1 to `count`. */
function withSome(
  count: number,
  work: (
    root: string,
    disk: Disk,
    open: (options?: DirectoryStorageOptions) => Promise<DirectoryStorage>,
  ) => Promise<void>,
): Promise<void> {
  return inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const storage = await DirectoryStorage.open(root, { retain: count });
    for (let index = 1; index <= count; index++) await save(storage, BigInt(index));
    await storage.close();
    const disk = new Disk();
    await work(root, disk, (options) => DirectoryStorage.open(root, { disk, ...options }));
  });
}

test("the directory is away for a moment: a read, a GET, an opened file; nothing moves, nothing older is taken in", () =>
  withSome(2, async (root, _disk, open) => {
    const storage = await open();
    const older = await DirectoryStorage.open(`${root}/../older`);
    await save(older, 1n);
    const { manifest } = await older.open();
    await older.close();
    const handler = snapshotHandler(storage, { allowWrites: true });
    const get = (path: string) => handler(new Request(`http://here/snapshots/${path}`));
    const reader = await storage.open();
    for (const inItsPlace of [false, true]) { // as after a remount: another directory, with nothing in it
      await rename(root, `${root}.away`);
      if (inItsPlace) await mkdir(root);
      await rejects(bytesOf(reader.file("state")), "UNAVAILABLE");
      assert.isFalse((await reader.verify().result).ok);
      const { status, body } = await get("2/files/state");
      if (status === 200) await rejects(bytesOf(body!), "UNAVAILABLE"); // it had begun
      else {
        assert.equal(status, 503);
        await body?.cancel();
      }
      for (const index of [2n, 1n]) assert.isFalse(await storage.quarantine(index, "a rumour"));
      await rejects(save(storage, 3n), inItsPlace ? "BUSY" : "UNAVAILABLE");
      await rejects(storage.install(manifest), "STALE");
      if (inItsPlace) await rm(root, { recursive: true });
      await rename(`${root}.away`, root);
    }
    await isWhole(reader);
    const { status, body } = await get("2/files/state");
    assert.equal(status, 200);
    await body?.cancel();
    await reader.close();
    await handler.close();
    await save(storage, 3n);
    assert.deepEqual(await wholeOnes(storage), [3n, 2n]);
    await storage.close();
    assert.deepEqual((await namesIn(root)).filter((name) => name.startsWith("corrupt")), []);
  }));

for (const index of [3, 2, 1]) {
  for (const what of [`size .*_0+${index}/${MANIFEST}`, `read .*_0+${index}/${MANIFEST}`, `stat .*_0+${index}/state`]) {
    test(`the storage opens though this fails: ${what}`, () =>
      withSome(3, async (root, disk, open) => {
        disk.failing = new RegExp(what);
        const warnings: string[] = [];
        const storage = await open({ retain: 2, onWarning: ({ code, index }) => warnings.push(`${code} ${index}`) });
        const others = [3, 2, 1].filter((other) => other !== index);
        assert.deepEqual(await indices(storage), others);
        assert.deepEqual(warnings, [`UNAVAILABLE ${index}`]);
        assert.deepEqual((await storage.unreadable()).map(({ index }) => Number(index)), [index]);
        await rejects(storage.open(BigInt(index)), "UNAVAILABLE");
        const reader = await storage.open();
        await isWhole(reader);
        await reader.close();
        // It does not count in the place of a good one, and is not retired.
        await save(storage, 4n);
        assert.deepEqual(await indices(storage), [4, others[0]!]);
        assert.include(await namesIn(root), directoryOf("", BigInt(index)).slice(1));
        disk.failing = undefined;
        assert.deepEqual((await indices(storage)).sort(), [4, others[0]!, index].sort());
        assert.deepEqual(await storage.unreadable(), []);
        await save(storage, 5n);
        assert.deepEqual(await wholeOnes(storage), [5n, 4n]);
        await storage.close();
      }));
  }
}

test("an older one that cannot be read while the storage is open does not count for retention", () =>
  withSome(3, async (_root, disk, open) => {
    const warnings: string[] = [];
    const storage = await open({ retain: 2, onWarning: ({ code, index }) => warnings.push(`${code} ${index}`) });
    disk.failing = new RegExp(`read .*_0+3/${MANIFEST}`);
    await save(storage, 4n);
    assert.deepEqual(warnings, ["UNAVAILABLE 3"]);
    assert.deepEqual(await indices(storage), [4, 3, 2]); // 4 and 2 are retained
    disk.failing = /read .*_0+2\/state/;
    const reader = await storage.open(2n);
    await rejects(bytesOf(reader.file("state")), "UNAVAILABLE");
    await reader.close();
    await save(storage, 5n);
    assert.deepEqual(await indices(storage), [5, 4, 2]); // 3 can be read again, and is too old
    disk.failing = undefined;
    await save(storage, 6n);
    assert.deepEqual(await wholeOnes(storage), [6n, 5n]);
    await storage.close();
  }));

test("a file that is not allowed to be read, and all that an opening sweeps and cannot remove", () =>
  withSome(2, async (root, disk, open) => {
    for (const name of ["trash-00", "temp", "install-9-00c0ffee"]) await put(`${root}/${name}`, "a");
    disk.failing = /^(remove|rename|list) .*(trash-00|temp|install-9-00c0ffee)$/;
    const warnings: SnapshotError[] = [];
    const storage = await open({ keepInstalls: 0, onWarning: (error) => warnings.push(error) });
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
    assert.deepEqual(warnings.map(({ code }) => code as string), ["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
    disk.failing = undefined;
    await save(storage, 3n);
    await storage.close();
  }));

test("the snapshot of a newer release: left in place, warned of, not listed, not written over", () =>
  withSome(2, async (root, _disk, open) => {
    const disk = new Disk();
    const { stat } = disk;
    disk.stat = stat.bind(disk);
    const inner = disk.open.bind(disk);
    disk.open = async (path, mode) => {
      if (mode === "read" && new RegExp(`_0+2/${MANIFEST}`).test(path)) throw new SnapshotError("UNSUPPORTED", "newer");
      return await inner(path, mode);
    };
    const codes: string[] = [];
    const storage = await open({ disk, onWarning: ({ code, index }) => codes.push(`${code} ${index}`) });
    assert.deepEqual(await indices(storage), [1]);
    assert.deepEqual(codes, ["UNSUPPORTED 2"]);
    await rejects(save(storage, 2n), "STALE");
    await storage.close();
    const again = await open();
    assert.deepEqual(await wholeOnes(again), [2n, 1n]);
    await again.close();
    assert.include(await namesIn(root), "snapshot_00000000000000000002");
  }));

test("a chunk that is read wrongly once, or otherwise each time, is a doubt; the same each time is proof", () =>
  withSome(2, async (root, _disk, open) => {
    const disk = new Disk();
    const inner = disk.open.bind(disk);
    let spoil: ((buffer: Uint8Array) => void) | undefined;
    disk.open = async (path, mode) => {
      const file = await inner(path, mode);
      if (mode !== "read" || !/_0+2\/state/.test(path)) return file;
      const read = file.read.bind(file);
      return Object.assign(file, {
        async read(buffer: Uint8Array, at: number) {
          const length = await read(buffer, at);
          spoil?.(buffer);
          return length;
        },
      });
    };
    const storage = await open({ disk });
    let reads = 0;
    for (const wrong of [1, 2]) { // the third time it is right
      reads = 0;
      spoil = (buffer) => {
        if (reads++ < wrong) buffer[0]! ^= 1;
      };
      const reader = await storage.open(2n);
      assert.equal((await bytesOf(reader.file("state", { end: 10 }))).length, 10);
      await reader.close();
    }
    spoil = (buffer) => buffer[0]! ^= ++reads;
    assert.isFalse(await storage.quarantine(2n, "a rumour"));
    const reader = await storage.open(2n);
    await rejects(bytesOf(reader.file("state")), "UNAVAILABLE");
    await reader.close();
    assert.deepEqual(await indices(storage), [2, 1]);
    spoil = (buffer) => buffer[0]! ^= 1;
    assert.isTrue(await storage.quarantine(2n, "a proof"));
    assert.deepEqual(await indices(storage), [1]);
    spoil = undefined; // it was the cable
    assert.equal((await storage.restore(2n)).meta.lastIncludedIndex, 2n);
    assert.deepEqual(await wholeOnes(storage), [2n, 1n]);
    await storage.close();
    assert.deepEqual(await namesIn(root), [
      ".lock",
      "snapshot_00000000000000000001",
      "snapshot_00000000000000000002",
    ]);
  }));

test("of what is quarantined four are kept, and one that is good after all is never removed", () =>
  withSome(1, async (root, _disk, open) => {
    const warnings: SnapshotError[] = [];
    const storage = await open({ onWarning: (error) => warnings.push(error) });
    for (let index = 2n; index < 9n; index++) {
      await save(storage, index);
      await flip(`${directoryOf(root, index)}/state`, 7);
      assert.isTrue(await storage.quarantine(index, "a test"));
    }
    assert.deepEqual((await storage.quarantined()).map(({ index }) => index), [8n, 7n, 6n, 5n]);
    const name = (await namesIn(root)).find((name) => name.startsWith("corrupt-5-"))!;
    await flip(`${root}/${name}/state`, 7); // as it was: an older release may have moved it for a doubt
    await save(storage, 9n);
    await flip(`${directoryOf(root, 9n)}/state`, 7);
    assert.isTrue(await storage.quarantine(9n, "a test"));
    assert.deepEqual((await storage.quarantined()).map(({ index }) => index), [9n, 8n, 7n, 6n, 5n]);
    assert.match(warnings.at(-1)!.message, /^Snapshot 5 is quarantined, and is good: restore it/);
    await rejects(storage.restore(6n), "CORRUPT");
    assert.equal((await storage.restore(5n)).meta.lastIncludedIndex, 5n);
    assert.deepEqual(await wholeOnes(storage), [5n, 1n]);
    await rejects(storage.restore(5n), "NOT_FOUND");
    await storage.close();
    const again = await open();
    assert.deepEqual(await wholeOnes(again), [5n, 1n]);
    assert.equal((await again.quarantined()).length, 4);
    await again.close();
  }));

for (const replaced of [false, true]) {
  test(`a lock that a cleaner ${replaced ? "replaced" : "removed"}: a second one gets in, and the first acknowledges nothing`, () =>
    withSome(2, async (root, _disk, open) => {
      const first = await open();
      const begun = await first.create();
      await rm(`${root}/.lock`);
      if (replaced) await writeFile(`${root}/.lock`, "");
      const meta = { lastIncludedIndex: 3n, lastIncludedTerm: 1n, peers: [] };
      await rejects(begun.commit(meta), "BUSY");
      const second = await open();
      const error = await rejects(save(first, 3n), "BUSY");
      assert.match(error.message, /removed or replaced.*open it again/);
      assert.deepEqual(await wholeOnes(first), [2n, 1n]); // it can be read
      await flip(`${directoryOf(root, 1n)}/state`, 7);
      await first.quarantine(1n, "a test"); // and moves nothing
      assert.include(await namesIn(root), "snapshot_00000000000000000001");
      await save(second, 3n);
      await rejects(save(first, 9n), "BUSY");
      await first.close();
      await save(second, 4n);
      assert.deepEqual(await wholeOnes(second), [4n, 3n]);
      await second.close();
    }));
}

test("a lock that is removed between the commit's look and its end: it is not acknowledged", () =>
  withSome(1, async (root, disk, open) => {
    const inner = disk.rename.bind(disk);
    const storage = await open();
    disk.rename = async (from, to) => {
      await inner(from, to);
      if (/snapshot_0+2$/.test(to)) await rm(`${root}/.lock`);
    };
    await rejects(save(storage, 2n), "BUSY");
    await storage.close();
  }));

test("a file system that cannot sync directories says so, once, and files are synced", () =>
  withSome(1, async (root, disk, open) => {
    const synced: string[] = [];
    disk.syncDirectory = (path) => {
      synced.push(path);
      return Promise.reject(new SnapshotError("UNSUPPORTED", `The file system of ${path} cannot sync a directory`));
    };
    const warnings: SnapshotError[] = [];
    for (const path of [root, `${root}/../new`]) {
      warnings.length = synced.length = 0;
      const storage = await open({ onWarning: (error) => warnings.push(error) });
      const other = await DirectoryStorage.open(path === root ? `${root}/../other` : path, {
        disk,
        onWarning: (error) => warnings.push(error),
      });
      await save(storage, path === root ? 2n : 3n);
      await save(other, path === root ? 2n : 3n);
      assert.deepEqual(warnings.map(({ code }) => code as string), ["UNSUPPORTED", "UNSUPPORTED"]);
      assert.match(warnings[0]!.message, /durability "file"/);
      assert.deepEqual([storage.durability, other.durability], ["file", "file"]);
      await storage.close();
      await other.close();
    }
    const plain = await open({ durability: "none" });
    assert.equal(plain.durability, "none");
    await plain.close();
  }));

/** A disk that takes names for one that differ in case, or in how they are composed. */
class FoldingDisk extends Disk {
  readonly #fold: (name: string) => string;
  readonly #known = new Map<string, string>();

  constructor(fold: (name: string) => string) {
    super();
    this.#fold = fold;
    const rename = this.rename.bind(this);
    this.rename = async (from, to) => {
      await rename(from, to);
      for (const [folded, path] of [...this.#known]) {
        if (path.startsWith(`${from}/`)) {
          this.#known.delete(folded);
          this.#learn(to + path.slice(from.length));
        }
      }
    };
    for (const verb of ["open", "stat", "list", "makeDirectory", "syncDirectory"] as const) {
      const inner = this[verb].bind(this) as (path: string, ...args: unknown[]) => Promise<unknown>;
      const isMade = (args: unknown[]) => verb === "makeDirectory" || args[0] === "create";
      // deno-lint-ignore no-explicit-any -- each as it was
      (this as any)[verb] = async (path: string, ...args: unknown[]) => {
        const result = await inner(this.#real(path), ...args);
        if (isMade(args)) this.#learn(this.#real(path));
        return result;
      };
    }
    const remove = this.remove.bind(this);
    this.remove = async (path) => {
      await remove(this.#real(path));
      for (const [folded, known] of [...this.#known]) {
        if (known === path || known.startsWith(`${path}/`)) this.#known.delete(folded);
      }
    };
    const link = this.link.bind(this);
    this.link = async (from, to) => {
      const linked = await link(this.#real(from), this.#real(to));
      this.#learn(this.#real(to));
      return linked;
    };
  }

  /** What is there is found by any of its names. */
  #real(path: string): string {
    const parts = path.split("/");
    let real = parts[0]!;
    for (const part of parts.slice(1)) real = this.#known.get(this.#fold(`${real}/${part}`)) ?? `${real}/${part}`;
    return real;
  }

  #learn(path: string): void {
    const parts = path.split("/");
    for (let i = 2; i <= parts.length; i++) {
      const part = parts.slice(0, i).join("/");
      if (!this.#known.has(this.#fold(part))) this.#known.set(this.#fold(part), part);
    }
  }
}

const FOLDS: Record<string, readonly [fold: (name: string) => string, one: string, other: string]> = {
  "in case": [(name) => name.toLowerCase(), "Data/state", "data/STATE"],
  "in how they are composed": [(name) => name.normalize("NFC"), "caf\u00e9", "cafe\u0301"],
  "in both": [(name) => name.normalize("NFD").toLowerCase(), "CAF\u00c9", "cafe\u0301"],
};

for (const [how, [fold, one, other]] of Object.entries(FOLDS)) {
  test(`names that differ ${how}: refused where they are one, kept where they are two`, () =>
    inTemp(async (directory) => {
      const write = async (storage: DirectoryStorage, names: readonly string[]) => {
        const writer = await storage.create();
        try {
          for (const name of names) {
            const file = writer.file(name).getWriter();
            await file.write(contentOf(BigInt(name.length)).state!);
            await file.close();
          }
          await writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
        } finally {
          await writer.abort();
        }
      };
      const plain = await DirectoryStorage.open(`${directory}/plain`);
      await write(plain, [one, other]); // this file system tells them apart
      const reader = await plain.open();
      assert.isTrue((await reader.verify().result).ok);
      const { manifest } = reader;
      await reader.close();
      await plain.close();

      const folding = await DirectoryStorage.open(`${directory}/folding`, { disk: new FoldingDisk(fold) });
      await save(folding, 1n);
      const error = await rejects(write(folding, [one, other]), "UNSUPPORTED");
      assert.equal(error.file, other);
      const install = await folding.install(manifest);
      assert.include((await rejects(install.prepare(), "UNSUPPORTED")).message, JSON.stringify(other));
      await install.close();
      assert.deepEqual(await wholeOnes(folding), [1n]);
      await write(folding, [one]);
      await folding.close();
      assert.deepEqual(
        (await namesIn(`${directory}/folding`)).filter((name) => /trash|corrupt|install/.test(name)),
        [],
      );
    }));
}
