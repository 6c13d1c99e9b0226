// Every byte, bit and length of archives, and archives of any shape.

import fc from "fast-check";
import { MemoryStorage, unarchive } from "../../mod.ts";
import { concat, toHex } from "../../src/stream/mod.ts";
import { archiveOf, joined, KINDS, recordsOf, refused, refusedOrSame, testKinds } from "../support/archives.ts";
import { assert, bytesOf, noise, pieces, test } from "../support/harness.ts";

/** Files in chunks of any lengths, with tables of key groups. */
const CHUNKED = fc.array(
  fc.record({
    lengths: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }),
    groups: fc.option(
      fc.record({ first: fc.integer({ min: 0, max: 32_767 }), at: fc.array(fc.nat(40), { minLength: 1 }) }),
    ),
  }),
  { maxLength: 4 },
);

testKinds("files in chunks of any lengths, with key groups; cut and changed anywhere", async (make) => {
  await fc.assert(
    fc.asyncProperty(CHUNKED, fc.nat(), fc.integer({ min: 0, max: 7 }), async (files, at, bit) => {
      const storage = new MemoryStorage();
      const writer = await storage.create();
      for (const [i, { lengths, groups }] of files.entries()) {
        const size = lengths.reduce((sum, length) => sum + length, 0);
        const offsets = Float64Array.from(groups?.at ?? [], (offset) => Math.min(offset, size)).sort()
          .subarray(0, 32_768 - (groups?.first ?? 0));
        const keyGroups = () =>
          groups === null ? undefined : { first: groups.first, last: groups.first + offsets.length - 1, offsets };
        const out = writer.file(`f${i}`, { chunkSize: "pieces", keyGroups }).getWriter();
        for (const [n, length] of lengths.entries()) await out.write(noise(length, n + 1));
        await out.close();
      }
      await writer.commit({ lastIncludedIndex: 5n, lastIncludedTerm: 1n, peers: [] });
      const reader = await storage.open();
      const whole = await bytesOf(make(reader));
      const other = new MemoryStorage();
      const info = await unarchive(pieces(whole, 7), other).result;
      assert.strictEqual(toHex(info.digest), toHex(reader.manifest.digest));
      const copy = await other.open();
      assert.strictEqual(toHex(copy.manifest.bytes), toHex(reader.manifest.bytes));
      assert.isTrue((await copy.verify().result).ok);
      const changed = whole.slice();
      changed[at % whole.length]! ^= 1 << bit;
      await refusedOrSame(changed, info.digest, `byte ${at % whole.length} changed`);
      await refused(whole.slice(0, at % whole.length), `${at % whole.length} bytes`);
      await storage.close();
      await other.close();
    }),
    { numRuns: 150 },
  );
});

test("archive: no byte of a table of key groups can be changed", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const keyGroups = () => ({ first: 0, last: 2, offsets: Float64Array.of(0, 0, 300) });
  await pieces(noise(300, 1)).pipeTo(writer.file("a", { keyGroups }));
  await writer.commit({ lastIncludedIndex: 5n, lastIncludedTerm: 1n, peers: [] });
  const reader = await storage.open();
  const records = await recordsOf(await bytesOf(KINDS.streamed!(reader)));
  const at = records.findIndex(({ type }) => type === 4);
  const { payload } = records[at]!;
  for (let i = 12; i < payload.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = payload.slice();
      changed[i]! ^= 1 << bit;
      await refused(joined(records.with(at, { type: 4, payload: changed })), `bit ${bit} of byte ${i}`);
    }
  }
  await refused(
    joined(records.with(at, { type: 4, payload: concat([payload, Uint8Array.of(120, 1)]) })),
    "a field behind",
  );
  await storage.close();
});

testKinds("no byte can be changed", async (make) => {
  const whole = await archiveOf({ "a/b": noise(70, 1), c: noise(3, 2), empty: noise(0, 1) }, make);
  for (let i = 0; i < whole.length; i++) {
    const damaged = whole.slice();
    damaged[i]! ^= 1 << (i % 8);
    await refused(damaged, `byte ${i} changed`);
  }
});

testKinds("cut short at every length, and with something behind", async (make) => {
  const whole = await archiveOf({ "a/b": noise(70, 1), c: noise(3, 2) }, make);
  for (let length = 0; length < whole.length; length++) await refused(whole.slice(0, length), `${length} bytes`);
  await refused(concat([whole, Uint8Array.of(0)]), "a byte behind");
  await refused(concat([whole, whole]), "twice");
});
