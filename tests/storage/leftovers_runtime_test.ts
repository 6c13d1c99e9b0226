import { archive, MemoryStorage, unarchive } from "../../mod.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { writeChunk } from "../support/installs.ts";

const CHUNK = 65_536;

/** Begins to receive a snapshot of so many chunks, and gets some of them. */
async function begin(storage: MemoryStorage, index: bigint, chunks: number, received: number): Promise<void> {
  const content = noise(chunks * CHUNK, Number(index));
  const there = await storageWith(index, { state: content });
  const reader = await there.open();
  const install = await storage.install(reader.manifest);
  await install.prepare();
  for (let i = 0; i < received; i++) await writeChunk(install, "state", i, content.slice(i * CHUNK, (i + 1) * CHUNK));
  await install.close();
  await reader.close();
  await there.close();
}

const left = async (storage: MemoryStorage) => (await storage.unfinished()).map(({ index }) => index).sort();

test("interrupted installs: small offers drop no half-received one", async () => {
  const storage = new MemoryStorage();
  await begin(storage, 9n, 40, 20);
  for (const index of [11n, 12n, 13n, 14n, 15n, 16n]) await begin(storage, index, 1, 0);
  assert.deepEqual(await left(storage), [14n, 15n, 16n, 9n].sort());
  for (const index of [17n, 18n, 19n, 20n]) await begin(storage, index, 2, 1); // nor do those of which a little came
  assert.include(await left(storage), 9n);
  await storage.close();
});

test("interrupted installs: a large offer of which nothing came costs nothing to fetch again", async () => {
  const storage = new MemoryStorage();
  await begin(storage, 9n, 10, 1);
  for (const index of [11n, 12n, 13n, 14n]) await begin(storage, index, 100, 0);
  assert.include(await left(storage), 9n);
  await storage.close();
});

test("an archive's bytes are progress, though a chunk takes minutes", async () => {
  const there = new MemoryStorage();
  await save(there, 9n, { state: noise(4 << 20, 1) }, { chunkSize: 4 << 20 });
  const reader = await there.open();
  const whole = await bytesOf(archive(reader));
  const here = new MemoryStorage();
  let at = 0;
  const slow = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      controller.enqueue(whole.slice(at, at += 60_000));
      if (at >= whole.length) controller.close();
    },
  }, { highWaterMark: 0 });
  let seen = 0;
  const operation = unarchive(slow, here);
  for await (const { bytes } of operation) if (bytes === 0) seen++;
  await operation.result;
  assert.isAbove(seen, 60);
  await reader.close();
  await Promise.all([there.close(), here.close()]);
});
