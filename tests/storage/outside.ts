// A directory beside a storage, to which links lead: nothing behind them may be read, written, made or removed.

import { rename, symlink } from "node:fs/promises";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import type { FaultyDisk } from "../support/faulty_disk.ts";
import { listing, put, save } from "../support/directory_storage.ts";

export const MANIFEST = "__raft_snapshot_meta";

/** A storage with the snapshots 1 and 2, and a directory beside it that must be the same, to the time, afterwards. */
export function beside(
  work: (storage: DirectoryStorage, root: string, outside: string) => Promise<void>,
  disk?: FaultyDisk,
): Promise<void> {
  return inTemp(async (directory) => {
    const [root, outside] = [`${directory}/storage`, `${directory}/outside`];
    for (const at of ["", "/a", "/a/d"]) {
      for (const name of ["b", "c", "same", "state", MANIFEST, `${MANIFEST}.tmp`]) await put(outside + at, name);
    }
    const before = await listing(outside);
    const storage = await DirectoryStorage.open(root, disk && { disk });
    try {
      await save(storage, 1n);
      await save(storage, 2n);
      await work(storage, root, outside);
    } finally {
      await storage.close();
    }
    assert.deepEqual(await listing(outside), before);
  });
}

/** Puts a link in the place of what is there, which is kept beside the root. */
export async function replace(path: string, outside: string): Promise<void> {
  await rename(path, `${outside}-was`);
  await symlink(outside, path);
}
