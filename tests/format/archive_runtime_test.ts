// An archive as Consul's, on every runtime: gzip is undone by the runtime, whose checks are relied upon.

import { MemoryStorage } from "../../mod.ts";
import { blobFiles, openFormat, writeFormat } from "../../src/formats.ts";
import { hasCode } from "../../src/errors.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";

/** An archive of 3,000 bytes that look random. */
async function archiveOf(state: Uint8Array): Promise<Uint8Array> {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const target = writer.file("state").getWriter();
  await target.write(state);
  await target.close();
  await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 2n, peers: ["n1:8200:0:0"] });
  const reader = await storage.open();
  for await (const { content } of writeFormat(reader, { system: "consul" })) return await bytesOf(content);
  throw new Error("It has no file");
}

async function isGood(archive: Uint8Array): Promise<boolean> {
  try {
    const reader = await openFormat(blobFiles(new Blob([archive as Uint8Array<ArrayBuffer>]), "a.snap"));
    const { ok } = await reader.verify().result;
    await reader.close();
    return ok;
  } catch (error) {
    if (hasCode(error, "CORRUPT", "MALFORMED", "UNSUPPORTED")) return false;
    throw error;
  }
}

test("formats, archive: written and read on this runtime; cut, changed at its end, or longer, it is refused", async () => {
  const state = noise(3000, 1);
  const good = await archiveOf(state);
  const reader = await openFormat(blobFiles(new Blob([good as Uint8Array<ArrayBuffer>]), "a.snap"));
  assert.deepEqual(await bytesOf(reader.file("state.bin")), state);
  await reader.close();
  assert.isTrue(await isGood(good));
  for (const cut of [1, 4, 8, 9, 12, 100, good.length - 20]) {
    assert.isFalse(await isGood(good.slice(0, -cut)), `${cut} bytes fewer`);
  }
  for (let behind = 1; behind <= 8; behind++) { // the CRC-32 of gzip, and the length
    const changed = good.slice();
    changed[changed.length - behind]! ^= 1;
    assert.isFalse(await isGood(changed), `the byte ${behind} before its end`);
  }
  for (const more of [[0], [1, 2, 3], [...good]]) {
    assert.isFalse(await isGood(new Uint8Array([...good, ...more])), `${more.length} bytes more`);
  }
});
