/**
 * The conformance suite of disks.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import type { Disk } from "../fs/mod.ts";
import { check, type ConformanceCase, fails, same } from "./check.ts";

/** A disk to be tested. */
export interface DiskUnderTest {
  /** The disk. */
  readonly disk: Disk;
  /** An empty directory on it. */
  readonly directory: string;
  /** Called in the end. */
  cleanUp(): Promise<void>;
}

/**
 * The suite for disks.
 *
 * @param make makes an empty directory
 */
export function diskConformance(make: () => Promise<DiskUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (disk: Disk, directory: string) => Promise<void>) =>
    cases.push({
      name,
      async run() {
        const { disk, directory, cleanUp } = await make();
        try {
          await body(disk, directory);
        } finally {
          await cleanUp();
        }
      },
    });

  add("reads and writes at positions, several at once", async (disk, directory) => {
    const path = `${directory}/file`;
    const file = await disk.open(path, "create");
    await Promise.all([3, 1, 0, 2].map((i) => file.write(new Uint8Array(100_000).fill(i), i * 100_000)));
    await file.sync();
    same(await file.size(), 400_000, "size");
    const parts = await Promise.all([0, 1, 2, 3].map(async (i) => {
      const buffer = new Uint8Array(100_000);
      same(await file.read(buffer, i * 100_000), 100_000, "bytes read");
      return buffer;
    }));
    check(parts.every((part, i) => part.every((byte) => byte === i)), "each is where it was written");
    const beyond = new Uint8Array(10);
    same(await file.read(beyond, 399_995), 5, "bytes before the end");
    same(await file.read(beyond, 500_000), 0, "bytes beyond the end");
    await file.close();
    same((await disk.stat(path))?.size, 400_000, "size");
  });

  add("create, update, read", async (disk, directory) => {
    const path = `${directory}/file`;
    await fails(() => disk.open(path, "read"), "NOT_FOUND");
    await fails(() => disk.open(path, "update"), "NOT_FOUND");
    await (await disk.open(path, "create")).close();
    await fails(() => disk.open(path, "create"), "BUSY");
    const file = await disk.open(path, "update");
    await file.write(Uint8Array.of(1, 2, 3), 0);
    await file.close();
    same((await disk.stat(path))?.size, 3, "size");
  });

  add("directories", async (disk, directory) => {
    await disk.makeDirectory(`${directory}/a/b/c`);
    await disk.makeDirectory(`${directory}/a/b/c`);
    await (await disk.open(`${directory}/a/file`, "create")).close();
    const names = (await disk.list(`${directory}/a`)).map(({ name, kind }) => `${name} ${kind}`).sort();
    same(names.join(), "b directory,file file", "what is in it");
    await disk.syncDirectory(`${directory}/a`);
    same(await disk.stat(`${directory}/none`), undefined, "what is not there");
    same(await disk.stat(`${directory}/a/file/below`), undefined, "what is below a file");
    await fails(() => disk.list(`${directory}/none`), "NOT_FOUND");
    await disk.rename(`${directory}/a`, `${directory}/z`);
    await disk.makeDirectory(`${directory}/full/x`);
    await fails(() => disk.rename(`${directory}/z`, `${directory}/full`), "BUSY");
    await disk.remove(`${directory}/z`);
    await disk.remove(`${directory}/z`);
    same((await disk.list(directory)).length, 1, "entries");
  });

  add("links", async (disk, directory) => {
    const file = await disk.open(`${directory}/a`, "create");
    await file.write(Uint8Array.of(1), 0);
    await file.close();
    if (!await disk.link(`${directory}/a`, `${directory}/b`)) return; // a disk need not support links
    await disk.remove(`${directory}/a`);
    same((await disk.stat(`${directory}/b`))?.size, 1, "size by the second name");
  });

  add("the lock", async (disk, directory) => {
    const lock = await disk.lock(`${directory}/lock`);
    check(await lock.isHeld(), "it is held");
    await fails(() => disk.lock(`${directory}/lock`), "BUSY");
    await lock.release();
    const again = await disk.lock(`${directory}/lock`);
    check(await again.isHeld(), "it is held again");
    await disk.remove(`${directory}/lock`);
    check(!await again.isHeld(), "it is not held once its file was removed");
    const other = await disk.lock(`${directory}/lock`);
    check(await other.isHeld(), "that of another file is");
    check(!await again.isHeld(), "the first is not, though there is a file again");
    await again.release();
    check(await other.isHeld(), "the other still is");
    await other.release();
  });
  return cases;
}
