// Verifying reads several chunks, of several files, at a time: a bounded number, and says what is bad in their order.

import type { DiskFile } from "../../src/fs/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { directoryOf, flip } from "../support/directory_storage.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { assert, gate, noise, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const CHUNK = 64 * 1024;
const AT_A_TIME = 6;

/** A disk that counts reads of a snapshot's files, which wait until they are let go. */
class CountingDisk extends FaultyDisk {
  readonly released = gate();
  reading = 0;
  most = 0;

  constructor() {
    super(() => false);
  }

  override async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const file = await super.open(path, mode);
    if (mode !== "read" || !path.includes("/f")) return file;
    return {
      ...file,
      read: async (buffer, at) => {
        this.most = Math.max(this.most, ++this.reading);
        await this.released.promise;
        try {
          return await file.read(buffer, at);
        } finally {
          this.reading--;
        }
      },
    };
  }
}

async function make(root: string): Promise<void> {
  const storage = await DirectoryStorage.open(root, { durability: "none" });
  const writer = await storage.create();
  await pieces(noise(20 * CHUNK + 5, 1)).pipeTo(writer.file("f0", { chunkSize: CHUNK }));
  for (let i = 1; i < 10; i++) await pieces(noise(1000 * i, i)).pipeTo(writer.file(`f${i}`));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

test("verify: so many chunks at a time and no more, of a large file and of small ones", () =>
  inTemp(async (root) => {
    await make(root);
    const disk = new CountingDisk();
    const storage = await DirectoryStorage.open(root, { disk });
    const reader = await storage.open();
    const verifying = reader.verify().result;
    while (disk.reading < AT_A_TIME) await disk.stat(root);
    for (let i = 0; i < 20; i++) await disk.stat(root);
    assert.equal(disk.reading, AT_A_TIME);
    disk.released.open();
    const { ok, bytes, chunks } = await verifying;
    assert.deepEqual([ok, bytes, chunks], [true, 20 * CHUNK + 5 + 45_000, 21 + 9]);
    assert.equal(disk.most, AT_A_TIME);
    await reader.close();
    await storage.close();
  }));

test("verify: what is bad comes in the order of the files and their chunks", () =>
  inTemp(async (root) => {
    await make(root);
    for (const chunk of [0, 1, 7, 20]) await flip(`${directoryOf(root, 1n)}/f0`, chunk * CHUNK + 2);
    for (const file of [3, 9]) await flip(`${directoryOf(root, 1n)}/f${file}`, 7);
    const storage = await DirectoryStorage.open(root);
    const reader = await storage.open();
    const { ok, bad, chunks } = await reader.verify().result;
    assert.deepEqual([ok, chunks], [false, 30 - 6]);
    const expected = [["f0", 0], ["f0", 1], ["f0", 7], ["f0", 20], ["f3", 0], ["f9", 0]];
    assert.deepEqual(bad.map(({ file, chunk }) => [file, chunk]), expected);
    await reader.close();
    assert.deepEqual((await storage.quarantined()).map(({ index }) => index), [1n]);
    await storage.close();
  }));

test("verify: cancelled or closed, it ends once nothing is being read any more", () =>
  inTemp(async (root) => {
    await make(root);
    for (const code of ["CANCELLED", "CLOSED"] as const) {
      const disk = new CountingDisk();
      const storage = await DirectoryStorage.open(root, { disk });
      const reader = await storage.open();
      const cancelling = new AbortController();
      const failed = rejects(reader.verify({ signal: cancelling.signal }).result, code);
      while (disk.reading < AT_A_TIME) await disk.stat(root);
      if (code === "CANCELLED") cancelling.abort();
      const closing = code === "CLOSED" ? reader.close() : undefined;
      disk.released.open();
      await failed;
      assert.equal(disk.reading, 0);
      await (closing ?? reader.close());
      await storage.close();
    }
  }));
