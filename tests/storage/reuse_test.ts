// Reused files and pieces: what is claimed of them, what fails half-way, and what is gone or bad by then.

import { type FileInfo, MemoryStorage, type SnapshotStorage } from "../../mod.ts";
import { ChunkMap } from "../../src/stream/mod.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { writeChunk } from "../support/installs.ts";

const STATE = noise(200_000, 1);
const META = { lastIncludedTerm: 1n, peers: [] };

async function infoOf(storage: SnapshotStorage, name: string): Promise<FileInfo> {
  const reader = await storage.open();
  await reader.close();
  return reader.info(name);
}

test("reuse: the chunks are those that are here, whatever lengths are claimed for the same root", async () => {
  const storage = await storageWith(1n, { state: STATE });
  const { chunks } = await infoOf(storage, "state");
  const { size, digests, count } = chunks!;
  const chunkLengths = new Uint32Array(count).fill(1);
  chunkLengths[0] = size - count + 1;
  const lying = await ChunkMap.of(size, { chunkLengths }, digests);
  assert.deepEqual(lying.root, chunks!.root);
  const writer = await storage.create();
  assert.isTrue(await writer.reuse([{ name: "state", chunks: lying }]));
  assert.deepEqual(writer.info("state").chunks, chunks);
  await writer.commit({ lastIncludedIndex: 2n, ...META });
  const reader = await storage.open(2n);
  assert.isTrue((await reader.verify().result).ok);
  assert.equal(reader.info("state").checksum, chunks!.checksum);
  await storage.close();
});

test("reuse: names are given back if one of them is not allowed", async () => {
  const storage = await storageWith(1n, { state: STATE });
  const info = await infoOf(storage, "state");
  const writer = await storage.create();
  for (const name of ["a", "a/b", "../a"]) {
    await rejects(writer.reuse([{ ...info, name: "a" }, { ...info, name }]), "MALFORMED");
  }
  await pieces(STATE).pipeTo(writer.file("a"));
  await writer.commit({ lastIncludedIndex: 2n, ...META });
  const reader = await storage.open();
  assert.deepEqual(await bytesOf(reader.file("a")), STATE);
  await storage.close();
});

test("reuse: what another commit has retired meanwhile is not here", async () => {
  const other = await storageWith(5n, { other: noise(10, 3) });
  const five = await other.open();
  const storage = new MemoryStorage({ retain: 1 });
  await save(storage, 1n, { state: STATE });
  const info = await infoOf(storage, "state");
  const writer = await storage.create();
  assert.isTrue(await writer.reuse([{ ...info, name: "a" }]));
  const install = await storage.install(five.manifest);
  await install.prepare();
  await writeChunk(install, "other", 0, noise(10, 3));
  await install.commit();
  assert.isFalse(await writer.reuse([{ ...info, name: "b" }]));
  await pieces(STATE).pipeTo(writer.file("b"));
  await writer.commit({ lastIncludedIndex: 6n, ...META });
  const reader = await storage.open();
  for (const name of ["a", "b"]) assert.deepEqual(await bytesOf(reader.file(name)), STATE);
  await storage.close();
  await other.close();
});

test("reuse: of what was there when a snapshot was found bad nothing is, since it may be the same bytes", async () => {
  const storage = new SpoiledStorage();
  await save(storage, 1n, { state: STATE }, { chunkSize: 65_536 });
  const info = await infoOf(storage, "state");
  const reuse = async (index: bigint) => {
    const writer = await storage.create();
    const reused = await writer.reuse([info]);
    if (!reused) await pieces(STATE).pipeTo(writer.file("state", { chunkSize: 65_536 }));
    await writer.commit({ lastIncludedIndex: index, ...META });
    return reused;
  };
  assert.isTrue(await reuse(2n));
  assert.isTrue(await storage.spoilAndQuarantine(2n));
  assert.isFalse(await reuse(3n)); // 1 is here, and good as far as is known
  assert.isTrue(await reuse(4n));
  await storage.close();
});

test("pieces: a table of key groups that cannot be had fails the file, and the commit", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const keyGroups = () => {
    throw new Error("as asked");
  };
  const written = pieces(STATE).pipeTo(writer.file("state", { chunkSize: "pieces", keyGroups }));
  assert.equal(await written.catch(({ message }) => message), "as asked");
  await rejects(writer.commit({ lastIncludedIndex: 1n, ...META }), "MALFORMED");
  assert.deepEqual(await storage.list(), []);
  await storage.close();
});
