// Every length and every bit of a manifest in a directory.

import { readFile, truncate, writeFile } from "node:fs/promises";
import { SnapshotManifest } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { directoryOf, opened, withTwo } from "../support/directory_storage.ts";
import { assert, test } from "../support/harness.ts";

const MANIFEST = "__raft_snapshot_meta";

test("no manifest that was cut short is taken for good", () =>
  withTwo(async (root) => {
    const path = `${directoryOf(root, 2n)}/${MANIFEST}`;
    const whole = await readFile(path);
    for (let length = whole.length - 1; length >= 0; length--) {
      await truncate(path, length);
      const storage = await DirectoryStorage.open(root, { readOnly: true });
      assert.deepEqual(storage.damaged.map(({ index }) => index), [2n], `cut at ${length}`);
      assert.equal((await storage.list())[0]!.meta.lastIncludedIndex, 1n);
      await storage.close();
    }
    await writeFile(path, whole.subarray(0, 50));
    assert.deepEqual(await opened(root), { whole: [1n], damaged: [2n] });
  }));

test("no manifest in which a bit was flipped is taken for good", () =>
  withTwo(async (root) => {
    const path = `${directoryOf(root, 2n)}/${MANIFEST}`;
    const whole = Uint8Array.from(await readFile(path));
    const bytes = whole.slice();
    for (let at = 0; at < bytes.length * 8; at++) {
      bytes[at >> 3]! ^= 1 << (at & 7);
      // Protobuf has several ways to write the same: what is read is what was written then, bit for bit.
      const read = await SnapshotManifest.decodeFramed(bytes).catch((error) => error.code as string);
      if (typeof read !== "string") assert.deepEqual(read.framed, whole, `bit ${at}`);
      if (at % 17 === 0) await isSeenAs(read, bytes);
      bytes[at >> 3]! ^= 1 << (at & 7);
    }
    async function isSeenAs(read: SnapshotManifest | string, bytes: Uint8Array): Promise<void> {
      await writeFile(path, bytes);
      const storage = await DirectoryStorage.open(root, { readOnly: true });
      // What looks like the snapshot of a newer release is not moved, since it would be lost to that release.
      const isNewer = read === "UNSUPPORTED";
      assert.deepEqual((await storage.unreadable()).map(({ error }) => error.code), isNewer ? [read] : []);
      assert.deepEqual(
        storage.damaged.map(({ error }) => error.code as string),
        typeof read === "string" && !isNewer ? [read] : [],
      );
      await storage.close();
    }
    await writeFile(path, whole);
    assert.deepEqual(await opened(root), { whole: [2n, 1n], damaged: [] });
  }));
