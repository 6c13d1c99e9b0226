// How much of a file is in memory for somebody who takes little of it, or nothing.

import { MemoryStorage } from "../../mod.ts";
import type { MediumFile, Place } from "../../src/storage/medium.ts";
import { StoredReader } from "../../src/storage/reader.ts";
import { assert, noise, pieces, test, turns } from "../support/harness.ts";

const KiB = 1024;

/** Takes so many pieces of a file with ten chunks, one after the other, and tells how many chunks were read then. */
async function readAfter(chunkSize: number, taken: number): Promise<number> {
  const storage = new MemoryStorage();
  const bytes = noise(10 * chunkSize, 1);
  const writer = await storage.create();
  await pieces(bytes).pipeTo(writer.file("state", { chunkSize }));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const { manifest } = await storage.open();
  let reads = 0;
  const file: Partial<MediumFile> = {
    read(buffer, position) {
      reads++;
      buffer.set(bytes.subarray(position, position + buffer.length));
      return Promise.resolve(buffer.length);
    },
    close: () => Promise.resolve(),
  };
  const place: Partial<Place> = { open: () => Promise.resolve(file as MediumFile) };
  const owner = { found() {}, unreadable() {}, released() {} };
  const reader = new StoredReader({ place: place as Place, manifest }, owner);
  const stream = reader.file("state").getReader();
  for (let i = 0; i < taken; i++) {
    await stream.read();
    await turns();
  }
  const counted = reads;
  await stream.cancel();
  await reader.close();
  await storage.close();
  return counted;
}

test("a reader reads ahead as far as its chunks are taken, and no more than a megabyte, or one chunk", async () => {
  const after = async (chunkSize: number) => {
    return await Promise.all([0, 1, 2, 3, 4, 5, 6].map((taken) => readAfter(chunkSize, taken)));
  };
  assert.deepEqual(await after(256 * KiB), [0, 1, 3, 5, 7, 8, 9]);
  assert.deepEqual(await after(512 * KiB), [0, 1, 3, 4, 5, 6, 7]);
  assert.deepEqual(await after(2048 * KiB), [0, 1, 3, 4, 5, 6, 7]);
});
