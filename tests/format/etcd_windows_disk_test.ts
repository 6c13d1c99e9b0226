// The pages of a database of etcd, out of a file that is larger than what is kept of it.

import { Windows } from "../../src/format/etcd/windows.ts";
import { crc32c } from "../../src/format/bytes/crc.ts";
import { blobFiles, openFormat } from "../../src/formats.ts";
import { filesOf, fixture } from "../support/format_files.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";

const PAGE = 4096;

test("formats, etcd: windows give the bytes of each page, wherever it lies, and all bytes once, in order", async () => {
  const block = noise(1024 * 1024 - 1, 3); // so that no two pages are the same
  const whole = new Uint8Array(20 * 1024 * 1024 + 100);
  for (let at = 0; at < whole.length; at += block.length) whole.set(block.subarray(0, whole.length - at), at);
  const random = new Random(7);
  for (const order of ["one by one", "mostly one by one", "anywhere"]) {
    const file = await blobFiles(new Blob([whole]), "db").open("db");
    const crc = crc32c();
    let told = 0;
    const windows = new Windows(file, "db", whole.length, (bytes) => {
      crc.update(bytes);
      told += bytes.length;
    });
    for (let number = 0; number < 5000; number++) {
      const elsewhere = order === "anywhere" || order === "mostly one by one" && random.chance(0.05);
      const at = (elsewhere ? random.below(5000) : number) * PAGE;
      const length = random.chance(0.01) ? Math.min(300_000, whole.length - at) : PAGE;
      const bytes = await windows.read(at, length);
      assert.isAtLeast(bytes.length, length);
      const [first, last] = [bytes.subarray(0, 16), bytes.subarray(length - 16, length)];
      assert.deepEqual([first, last], [whole.subarray(at, at + 16), whole.subarray(at + length - 16, at + length)]);
      assert.deepEqual(windows.here(at, length)!.subarray(0, 16), first, "what was read is here");
    }
    await windows.rest();
    await windows.close();
    const all = crc32c();
    all.update(whole);
    assert.deepEqual([told, crc.value], [whole.length, all.value], order);
    await rejects(windows.read(whole.length - 10, 20), "CORRUPT");
  }
});

test("formats, etcd: a tree that leads to its pages over and over ends whoever looks at it", async () => {
  const database = (fixture("etcd/snap.db") as Uint8Array).slice(0, -32);
  const pages = database.length / PAGE;
  for (let page = 2; page < pages; page++) {
    const view = new DataView(database.buffer, page * PAGE, PAGE);
    new Uint8Array(database.buffer, page * PAGE, PAGE).fill(0);
    view.setBigUint64(0, BigInt(page), true);
    view.setUint16(8, page < pages - 1 ? 1 : 2, true); // branches, and a leaf that is empty
    if (page === pages - 1) continue;
    view.setUint16(10, 200, true);
    for (let i = 0; i < 200; i++) { // each with the next page 200 times, whose keys are behind its own
      const at = 16 + i * 16;
      view.setUint32(at, 3500 + i * 2 - at, true);
      view.setUint32(at + 4, 2, true);
      view.setBigUint64(at + 8, BigInt(page + 1), true);
      view.setUint16(3500 + i * 2, page * 200 + i);
    }
  }
  const error = await openFormat(filesOf(database, "db"), { system: "etcd" }).catch((error) => error);
  assert.strictEqual(error.code, "CORRUPT");
  assert.match(error.message, /its tree leads to pages more than once/);
});
