// Fields of braft's two messages that this release does not know are kept, byte for byte.

import fc from "fast-check";
import { archive, completeManifest, type FileInfo, SnapshotManifest, unarchive } from "../../src/snapshot/mod.ts";
import { MemoryStorage } from "../../src/storage/mod.ts";
import { ChunkMap, concat, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { rejects as rejected } from "../support/braft_manifests.ts";
import { fromHex } from "../support/samples.ts";
import { blobFiles, openFormat } from "../../src/formats.ts";

const META = { lastIncludedIndex: 1000n, lastIncludedTerm: 3n, peers: ["p1"] };

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value % 0x80 | 0x80, ...varint(Math.floor(value / 0x80))];
}

function delimited(number: number, bytes: Iterable<number>): Uint8Array {
  const all = [...bytes];
  return Uint8Array.from([...varint(number * 8 + 2), ...varint(all.length), ...all]);
}

/** One field of each wire type, with numbers that neither message has. */
const EACH = concat([
  Uint8Array.from([...varint(9 * 8), ...varint(300)]),
  Uint8Array.from([...varint(10 * 8 + 1), 1, 2, 3, 4, 5, 6, 7, 8]),
  delimited(11, [0xff, 0]),
  Uint8Array.from([...varint(12 * 8 + 3), 0x10, 0x81, 0x00, ...varint(12 * 8 + 4)]), // a group, and a longer varint
  Uint8Array.from([...varint(2000 * 8 + 5), 1, 2, 3, 4]),
  delimited(1000, [0x0a, 1, 2]), // not our extension
  Uint8Array.from([...varint(1000 * 8), 7]), // nor this
]);
/** An unknown value of a known enum is an unknown field to proto2. */
const SOURCE_7 = Uint8Array.of(0x10, 7);

/** What braft writes: what it knows, and behind that what it does not. */
function braftManifest(ofMeta: Uint8Array, ofFile: Uint8Array, behind: Uint8Array = new Uint8Array(0)): Uint8Array {
  const meta = concat([Uint8Array.of(0x08, 0xe8, 0x07, 0x10, 3), delimited(3, [0x70, 0x31]), ofMeta]);
  const file = concat([delimited(1, [0x61]), delimited(2, concat([delimited(3, [0x63]), ofFile])), behind]);
  return concat([delimited(1, meta), delimited(2, file), behind]);
}

test("unknown fields: a manifest of a newer braft is read, and written again to the byte", async () => {
  const bytes = braftManifest(EACH, concat([EACH, SOURCE_7]));
  const read = await SnapshotManifest.decode(bytes);
  assert.strictEqual(toHex(read.bytes), toHex(bytes));
  assert.strictEqual(toHex(read.meta.unknownFields!), toHex(EACH));
  const [file] = read.files;
  assert.strictEqual(toHex(file!.unknownFields!), toHex(concat([EACH, SOURCE_7])));
  assert.deepEqual([file!.source, file!.checksum, read.verifiable], [undefined, "c", false]);
});

test("unknown fields: where braft drops them they are dropped", async () => {
  const { bytes } = await SnapshotManifest.decode(braftManifest(EACH, SOURCE_7, EACH));
  assert.strictEqual(toHex(bytes), toHex(braftManifest(EACH, SOURCE_7)));
});

test("unknown fields: of a message that came in two parts, or among known fields, as braft writes it again", async () => {
  const [first, second] = [delimited(21, [1]), delimited(20, [2])];
  const whole = braftManifest(concat([first, second]), new Uint8Array(0));
  const head = delimited(1, concat([first, Uint8Array.of(0x08, 0xe8, 0x07)]));
  const rest = delimited(1, concat([second, Uint8Array.of(0x10, 3), delimited(3, [0x70, 0x31])]));
  const file = delimited(2, concat([delimited(1, [0x61]), delimited(2, delimited(3, [0x63]))]));
  assert.strictEqual(toHex((await SnapshotManifest.decode(concat([head, file, rest]))).bytes), toHex(whole));
});

for (const name of ["unknown-snapshotmeta", "source-unknown-enum"]) {
  test(`unknown fields: braft's own fixture ${name} is written again to the byte`, async () => {
    const { hex } = rejected.find((one) => one.name === name)!;
    assert.strictEqual(toHex((await SnapshotManifest.decodeFramed(fromHex(hex))).framed), hex);
  });
}

const field = fc.oneof(
  fc.tuple(fc.integer({ min: 5, max: 999 }), fc.nat(2 ** 31)).map(([number, value]) =>
    Uint8Array.from([...varint(number * 8), ...varint(value)])
  ),
  fc.tuple(fc.integer({ min: 5, max: 2 ** 29 - 1 }), fc.uint8Array({ maxLength: 20 }))
    .filter(([number, bytes]) => number !== 1000 || bytes[0] !== 8)
    .map(([number, bytes]) => delimited(number, bytes)),
);
const fields = fc.array(field, { minLength: 1, maxLength: 4 }).map(concat);

test("unknown fields: of a snapshot of ours they are in its digest, and are kept with it", async () => {
  await fc.assert(fc.asyncProperty(fields, fields, async (ofMeta, ofFile) => {
    const chunks = await ChunkMap.of(5, { chunkSize: 65_536 }, noise(32, 1));
    const files: FileInfo[] = [{ name: "a", chunks, unknownFields: ofFile }, { name: "b", chunks }];
    const meta = { ...META, createdAt: 1, unknownFields: ofMeta };
    const made = await SnapshotManifest.of(meta, files);
    const read = await SnapshotManifest.decode(made.bytes);
    assert.isTrue(read.verifiable);
    assert.strictEqual(toHex(read.digest), toHex(made.digest));
    assert.strictEqual(toHex(read.meta.unknownFields!), toHex(ofMeta));
    assert.strictEqual(toHex(read.file("a").unknownFields!), toHex(ofFile));
    assert.notProperty(read.file("b"), "unknownFields");
    const { unknownFields: _, ...bare } = meta;
    assert.notStrictEqual(toHex((await SnapshotManifest.of(bare, files)).digest), toHex(made.digest));
  }));
});

test("unknown fields: no byte of them can be changed or left out", async () => {
  const chunks = await ChunkMap.of(5, { chunkSize: 65_536 }, noise(32, 1));
  const { bytes } = await SnapshotManifest.of({ ...META, createdAt: 1, unknownFields: EACH }, [
    { name: "a", chunks, unknownFields: EACH },
  ]);
  for (let i = 0; i < bytes.length; i++) {
    for (const bits of [1, 0x80, 0xff]) {
      const damaged = bytes.slice();
      damaged[i]! ^= bits;
      const error = await SnapshotManifest.decode(damaged).then(() => undefined, (error) => error);
      assert.include(["CORRUPT", "MALFORMED", "UNSUPPORTED"], error?.code, `byte ${i}`);
    }
  }
});

test("unknown fields: archives and completed manifests have them", async () => {
  const { framed } = await SnapshotManifest.decode(braftManifest(EACH, SOURCE_7));
  const files = { __raft_snapshot_meta: new Blob([framed as Uint8Array<ArrayBuffer>]), a: new Blob([noise(1000, 1)]) };
  const reader = await openFormat(blobFiles(files, "snapshot_00000000000000001000"));
  const complete = await completeManifest(reader);
  assert.isTrue(complete.verifiable);
  assert.strictEqual(toHex(complete.meta.unknownFields!), toHex(EACH));
  assert.strictEqual(toHex(complete.file("a").unknownFields!), toHex(SOURCE_7));

  const [once, twice] = [new MemoryStorage(), new MemoryStorage()];
  await unarchive(archive(reader), once).result; // streamed
  const stored = await once.open();
  await unarchive(archive(stored), twice).result; // described
  const copy = await twice.open();
  assert.strictEqual(toHex(copy.meta.unknownFields!), toHex(EACH));
  assert.strictEqual(toHex(copy.info("a").unknownFields!), toHex(SOURCE_7));
  assert.deepEqual(await bytesOf(copy.file("a")), noise(1000, 1));
  assert.strictEqual(toHex(copy.manifest.digest), toHex(stored.manifest.digest));
  await Promise.all([stored, copy].map((one) => one.close()));
});

test("unknown fields: what is known, or is no field, is not taken for one", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const known = [delimited(1, [1]), SOURCE_7.with(1, 1), delimited(3, [0x63]), delimited(1000, [8, 1])];
  for (const unknownFields of [...known, concat([EACH, delimited(1, [1])]), Uint8Array.of(0xff), new Uint8Array(0)]) {
    assert.throws(() => writer.file("a", { unknownFields }), /options\.unknownFields must be/);
  }
  for (const unknownFields of [Uint8Array.of(8, 1), delimited(4, [0x63]), delimited(1000, [8]), Uint8Array.of(7)]) {
    await rejects(SnapshotManifest.of({ ...META, unknownFields }, []), "MALFORMED");
  }
  await writer.abort();
});

test("unknown fields: more of them than anybody has are refused before they take memory", async () => {
  const many = concat(Array.from({ length: 300 }, () => concat([delimited(20, [1]), delimited(3, [0x63])])));
  await rejects(SnapshotManifest.decode(braftManifest(new Uint8Array(0), many)), "MALFORMED");
  await SnapshotManifest.decode(braftManifest(new Uint8Array(0), new Uint8Array(100_000).fill(0x48))); // one run
});
