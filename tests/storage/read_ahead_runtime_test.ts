// How much of a file is in memory for somebody who takes little of it, or nothing.

import { MemoryStorage, SnapshotError } from "../../mod.ts";
import type { MediumFile, Place } from "../../src/storage/medium.ts";
import { StoredReader } from "../../src/storage/reader.ts";
import { assert, pieces, test, turns } from "../support/harness.ts";

const KiB = 1024;

/** Takes pieces of a file with ten chunks, one after the other, and tells how many chunks were read after each. */
async function readAfterEach(chunkSize: number, callsAreDear = false, broken = Infinity): Promise<number[]> {
  const storage = new MemoryStorage();
  const bytes = new Uint8Array(10 * chunkSize);
  const writer = await storage.create();
  await pieces(bytes).pipeTo(writer.file("state", { chunkSize }));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const { manifest } = await storage.open();
  let reads = 0;
  const file: Partial<MediumFile> = {
    callsAreDear,
    read(buffer, position) {
      reads += buffer.length / chunkSize;
      if (position + buffer.length > broken) return Promise.reject(new SnapshotError("UNAVAILABLE", "It is broken"));
      buffer.set(bytes.subarray(position, position + buffer.length));
      return Promise.resolve(buffer.length);
    },
    close: () => Promise.resolve(),
  };
  const place: Partial<Place> = { open: () => Promise.resolve(file as MediumFile) };
  const owner = { found() {}, unreadable() {}, released() {} };
  const reader = new StoredReader({ place: place as Place, manifest }, owner);
  const stream = reader.file("state").getReader();
  await turns();
  const counted = [reads];
  for (let taken = 1; taken <= Math.min(6, broken / chunkSize); taken++) {
    await stream.read();
    await turns();
    counted.push(reads);
  }
  await stream.cancel();
  await reader.close();
  await storage.close();
  return counted;
}

test("a reader reads ahead as far as its chunks are taken, and no more than a megabyte, or one chunk", async () => {
  assert.deepEqual(await readAfterEach(256 * KiB), [0, 1, 3, 5, 7, 8, 9]);
  assert.deepEqual(await readAfterEach(512 * KiB), [0, 1, 3, 4, 5, 6, 7]);
  assert.deepEqual(await readAfterEach(2048 * KiB), [0, 1, 3, 4, 5, 6, 7]);
  // Two with one call, once four are ahead.
  assert.deepEqual(await readAfterEach(256 * KiB, true), [0, 1, 3, 5, 7, 9, 9]);
  assert.deepEqual(await readAfterEach(2048 * KiB, true), [0, 1, 3, 4, 5, 6, 7]);
});

test("a chunk that was read ahead, and is broken, is nobody's affair when the reader is closed before", async () => {
  for (const callsAreDear of [false, true]) {
    // What is left of the ten is broken; the two or more that fail are nobody's, and no rejection is left alone.
    for (let good = 0; good <= 6; good++) await readAfterEach(256 * KiB, callsAreDear, good * 256 * KiB);
  }
});
