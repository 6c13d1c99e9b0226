// Reused files on a disk: made durable, copied where there are no links, and given up half-way.

import type { FileInfo, SnapshotStorage } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, gate, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { contentOf, directoryOf, flip, namesIn, save, wholeOnes } from "../support/directory_storage.ts";

/** A disk without hard links. */
class PlainDisk extends FaultyDisk {
  override link(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

async function infoOf(storage: SnapshotStorage, name: string): Promise<FileInfo> {
  const reader = await storage.open();
  await reader.close();
  return reader.info(name);
}

/** Saves what has this index, with the file that all have reused; written anew if that cannot be. */
async function saveReusing(storage: SnapshotStorage, index: bigint): Promise<boolean> {
  const { same, ...rest } = contentOf(index);
  const info = await infoOf(storage, "same");
  const writer = await storage.create();
  try {
    const reused = await writer.reuse([info]);
    if (!reused) await pieces(same!).pipeTo(writer.file("same"));
    for (const [name, content] of Object.entries(rest)) await pieces(content).pipeTo(writer.file(name));
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
    return reused;
  } finally {
    await writer.abort();
  }
}

test("reuse: what a storage wrote that syncs nothing is durable when one that does commits it", () =>
  inTemp(async (root) => {
    const careless = await DirectoryStorage.open(root, { durability: "none" });
    await save(careless, 1n);
    await careless.close();
    const done: string[] = [];
    const disk = new FaultyDisk((what) => {
      done.push(what.replace(`${root}/`, ""));
      return false;
    });
    const storage = await DirectoryStorage.open(root, { disk });
    assert.isTrue(await saveReusing(storage, 2n));
    const order = ["sync temp/same", "sync temp", "rename temp"].map((what) => done.indexOf(what));
    assert.deepEqual([...order].sort((a, b) => a - b), order);
    assert.isAtLeast(order[0]!, 0);
    await storage.close();
  }));

test("reuse: without links a file is copied; one that is damaged, or cannot be read, is written anew", () =>
  inTemp(async (root) => {
    let unreadable = "";
    const disk = new PlainDisk((what) => what === `read ${unreadable}`);
    const storage = await DirectoryStorage.open(root, { disk });
    await save(storage, 1n);
    assert.isTrue(await saveReusing(storage, 2n));
    await flip(`${directoryOf(root, 2n)}/same`, 5);
    assert.isFalse(await saveReusing(storage, 3n));
    unreadable = `${directoryOf(root, 3n)}/same`;
    assert.isFalse(await saveReusing(storage, 4n));
    unreadable = "";
    assert.deepEqual(await wholeOnes(storage), [4n, 3n]);
    await storage.close();
  }));

test("reuse: a commit waits for what is being copied; an abort and a closing end it", () =>
  inTemp(async (root) => {
    let held = gate();
    let copying = gate();
    class SlowDisk extends PlainDisk {
      override async open(path: string, mode: "read" | "create" | "update") {
        const file = await super.open(path, mode);
        if (!path.endsWith("/temp/state")) return file;
        const write = async (bytes: Uint8Array, at: number) => {
          copying.open();
          await held.promise;
          await file.write(bytes, at);
        };
        return { ...file, write };
      }
    }
    const storage = await DirectoryStorage.open(root, { disk: new SlowDisk(() => false) });
    held.open();
    await save(storage, 1n);
    const info = await infoOf(storage, "state");
    const begin = async () => {
      [held, copying] = [gate(), gate()];
      const writer = await storage.create();
      const reusing = writer.reuse([info]);
      reusing.catch(() => {});
      await copying.promise;
      return { writer, reusing };
    };
    const first = await begin();
    const committing = first.writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
    held.open();
    assert.isTrue(await first.reusing);
    assert.equal((await committing).files, 1);
    assert.include(await namesIn(directoryOf(root, 2n)), "state");

    const second = await begin();
    const aborting = second.writer.abort();
    held.open();
    await aborting;
    await rejects(second.reusing, "CLOSED");
    await rejects(second.writer.commit({ lastIncludedIndex: 3n, lastIncludedTerm: 1n, peers: [] }), "CLOSED");

    await begin();
    const closing = storage.close();
    held.open();
    await closing;
    assert.notInclude(await namesIn(root), "temp");
  }));

test("pieces: no more than some hundred are hashed at the same time, however small they are", () =>
  inTemp(async (root) => {
    let writes = 0;
    const disk = new FaultyDisk((what) => {
      if (what.startsWith("write ") && what.endsWith("/tiny")) writes++;
      return false;
    });
    const storage = await DirectoryStorage.open(root, { disk });
    const writer = await storage.create();
    await pieces(new Uint8Array(5000), 1).pipeTo(writer.file("tiny", { chunkSize: "pieces" }));
    assert.equal(writer.info("tiny").chunks!.count, 5000);
    assert.isAtLeast(writes, 5); // each is a block, of which all chunks are hashed at once
    await storage.close();
  }));
