// Many small files: synced several at a time behind the writer, each of them before the commit; received ones once.

import { MemoryStorage } from "../../mod.ts";
import type { DiskFile } from "../../src/fs/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { assert, gate, noise, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { writeChunk } from "../support/installs.ts";

const AT_A_TIME = 16;
const META = { lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] };

/** A disk that notes what is done, and whose syncs of files wait. */
class SlowDisk extends FaultyDisk {
  readonly done: string[];
  readonly synced = gate();
  syncing = 0;
  /** Called when a sync has begun. */
  onSync: () => void = () => {};

  constructor(fails: (what: string) => boolean = () => false) {
    const done: string[] = [];
    super((what) => {
      done.push(what);
      return fails(what);
    });
    this.done = done;
  }

  override async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const file = await super.open(path, mode);
    if (!path.includes("/f")) return file;
    return {
      read: (buffer, at) => file.read(buffer, at),
      write: (bytes, at) => file.write(bytes, at),
      size: () => file.size(),
      close: () => file.close(),
      sync: async () => {
        this.syncing++;
        this.onSync();
        await this.synced.promise;
        await file.sync();
      },
    };
  }

  /** Where in what was done the first and the last of these stand. */
  span(what: RegExp): [first: number, last: number] {
    return [this.done.findIndex((it) => what.test(it)), this.done.findLastIndex((it) => what.test(it))];
  }
}

test("many files: closing one does not wait for its sync, but no more than sixteen wait; the commit waits for all", () =>
  inTemp(async (root) => {
    const disk = new SlowDisk();
    const storage = await DirectoryStorage.open(root, { disk });
    const writer = await storage.create();
    const write = (i: number) => pieces(noise(100, i)).pipeTo(writer.file(`f${i}`));
    for (let i = 0; i < AT_A_TIME; i++) await write(i); // none of them was synced
    let isEnded = false;
    const more = Promise.all([write(AT_A_TIME), write(AT_A_TIME + 1)]).then(() => isEnded = true);
    while (disk.done.filter((what) => /write .*\/f/.test(what)).length < AT_A_TIME + 2) await disk.stat(root);
    for (let i = 0; i < 20; i++) await disk.stat(root);
    assert.deepEqual([disk.syncing, isEnded], [AT_A_TIME, false]);
    disk.synced.open();
    await more;
    await writer.commit(META);
    assert.equal(disk.syncing, AT_A_TIME + 2);
    assert.isBelow(disk.span(/sync .*\/f/)[1], disk.span(/write .*meta/)[0]);
    await storage.close();
  }));

test("many files: one that cannot be synced fails the commit, and what is written after it was noticed", () =>
  inTemp(async (root) => {
    const disk = new SlowDisk((what) => /sync .*\/f0$/.test(what));
    const storage = await DirectoryStorage.open(root, { disk });
    for (const further of [false, true]) {
      const writer = await storage.create();
      await pieces(noise(100, 0)).pipeTo(writer.file("f0"));
      if (!further) await pieces(noise(100, 1)).pipeTo(writer.file("f1"));
      disk.synced.open();
      if (further) {
        while (!disk.done.some((what) => what.endsWith("close " + root + "/temp/f0"))) await disk.stat(root);
        await rejects(pieces(noise(100, 2)).pipeTo(writer.file("f2")), "UNAVAILABLE");
      } else await rejects(writer.commit(META), "UNAVAILABLE");
      await writer.abort();
      assert.deepEqual(await storage.list(), []);
    }
    await storage.close();
  }));

test("many files: an abort waits for the syncs that are running before it removes what they sync", () =>
  inTemp(async (root) => {
    const disk = new SlowDisk();
    const storage = await DirectoryStorage.open(root, { disk });
    const writer = await storage.create();
    await pieces(noise(100, 0)).pipeTo(writer.file("f0"));
    const aborting = writer.abort();
    for (let i = 0; i < 20; i++) await disk.stat(root);
    assert.equal(disk.span(/rename .*temp/)[0], -1);
    disk.synced.open();
    await aborting;
    assert.isAbove(disk.span(/rename .*temp/)[0], disk.span(/close .*\/f0/)[0]);
    await storage.close();
  }));

test("many files: what is received is opened once, and synced once, with its last chunk", () =>
  inTemp(async (root) => {
    const there = new MemoryStorage();
    const writer = await there.create();
    const contents = Array.from({ length: 60 }, (_, i) => noise(100 + i, i));
    for (const [i, bytes] of contents.entries()) await pieces(bytes).pipeTo(writer.file(`d/f${i}`));
    await writer.commit(META);
    const reader = await there.open();
    const disk = new SlowDisk();
    disk.synced.open();
    const storage = await DirectoryStorage.open(root, { disk });
    const install = await storage.install(reader.manifest);
    await install.prepare();
    await writeChunk(install, "d/f0", 0, contents[0]!); // makes the directory
    await Promise.all(contents.slice(1).map((bytes, i) => writeChunk(install, `d/f${i + 1}`, 0, bytes)));
    await install.commit();
    const count = (what: RegExp) => disk.done.filter((it) => what.test(it)).length;
    assert.deepEqual([count(/^create .*\/d\/f/), count(/^update .*\/d\/f/), count(/^sync .*\/d\/f/)], [61, 0, 60]);
    await reader.close();
    await storage.close();
  }));

test("many files: a file that begins small and becomes large is as it was written, however it comes", () =>
  inTemp(async (root) => {
    const storage = await DirectoryStorage.open(root);
    const bytes = noise(3_000_000, 1);
    const lengths = [1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 70_000, 1024 * 1024, 2_000_000];
    const writer = await storage.create();
    for (const first of lengths) {
      const stream = writer.file(`f${first}`).getWriter();
      await stream.write(bytes.subarray(0, first));
      for (let at = first; at < bytes.length; at += 300_000) await stream.write(bytes.subarray(at, at + 300_000));
      await stream.close();
    }
    await writer.commit(META);
    const reader = await storage.open();
    for (const { chunks } of reader.manifest.files) {
      assert.deepEqual(chunks!.root, reader.manifest.files[0]!.chunks!.root);
    }
    assert.isTrue((await reader.verify().result).ok);
    assert.equal(await reader.size("f1"), bytes.length);
    await reader.close();
    await storage.close();
  }));
