// Manifests made by hand, as no honest release writes them.

import { create, toBinary } from "@bufbuild/protobuf";
import { FileExtensionSchema, LocalSnapshotPbMetaSchema, SnapshotExtensionSchema } from "../gen/manifest_pb.ts";
import { FORMAT_VERSION, SnapshotManifest } from "../../src/snapshot/mod.ts";
import { ChunkMap, concat } from "../../src/stream/mod.ts";
import { SnapshotError } from "../../src/errors.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";

type Extension = Parameters<typeof create<typeof SnapshotExtensionSchema>>[1];
type FileExtension = Parameters<typeof create<typeof FileExtensionSchema>>[1];

/** A manifest with one file, or none. */
function manifest(snapshot: Extension, file?: FileExtension): Uint8Array {
  return toBinary(
    LocalSnapshotPbMetaSchema,
    create(LocalSnapshotPbMetaSchema, {
      meta: {
        lastIncludedIndex: 1n,
        lastIncludedTerm: 1n,
        extension: toBinary(
          SnapshotExtensionSchema,
          create(SnapshotExtensionSchema, { formatVersion: 1, createdAt: 0n, digest: noise(32, 1), ...snapshot }),
        ),
      },
      files: file === undefined
        ? []
        : [{ name: "a", meta: { extension: toBinary(FileExtensionSchema, create(FileExtensionSchema, file)) } }],
    }),
  );
}

const CHUNK = { size: 10n, chunkSize: 10, chunkDigests: noise(32, 1), root: noise(32, 2) };

test("hostile manifests: a newer version", async () => {
  for (const formatVersion of [FORMAT_VERSION + 1, 2 ** 32 - 1]) {
    const error = await rejects(SnapshotManifest.decode(manifest({ formatVersion }, CHUNK)), "UNSUPPORTED");
    assert.strictEqual(error.actual, formatVersion);
  }
  await rejects(SnapshotManifest.decode(manifest({}, { ...CHUNK, compression: "zstd" })), "UNSUPPORTED");
});

const SIZES: Readonly<Record<string, FileExtension>> = {
  "a size that no number holds": { ...CHUNK, size: (1n << 64n) - 1n },
  "a size for which there are too few digests": { ...CHUNK, size: 1n << 50n },
  "a chunk of 4 GiB": { ...CHUNK, size: (1n << 32n) - 1n, chunkSize: 2 ** 32 - 1 },
  "a chunk of 4 GiB among others": { ...CHUNK, chunkSize: 0, chunkLengths: [2 ** 32 - 1] },
  "no chunk size": { ...CHUNK, chunkSize: 0 },
  "a chunk of nothing": { size: 0n, chunkSize: 0, chunkLengths: [0], chunkDigests: noise(32, 1), root: noise(32, 2) },
  "half a digest": { ...CHUNK, chunkDigests: noise(16, 1) },
  "more digests than chunks": { ...CHUNK, chunkDigests: noise(64, 1) },
  "lengths that do not add up": { ...CHUNK, chunkSize: 0, chunkLengths: [9] },
  "a wrong root": CHUNK,
  "no root": { ...CHUNK, root: new Uint8Array(0) },
};

for (const [what, file] of Object.entries(SIZES)) {
  test(`hostile manifests: ${what}`, async () => {
    const error = await SnapshotManifest.decode(manifest({}, file)).catch((error) => error);
    assert.instanceOf(error, SnapshotError);
    assert.include(["MALFORMED", "CORRUPT"], error.code);
  });
}

test("hostile manifests: times and indices that no number holds", async () => {
  for (const createdAt of [(1n << 63n) - 1n, -1n, -(1n << 63n), 1n << 60n]) {
    const bytes = manifest({ createdAt, parentIndex: -1n });
    const error = await SnapshotManifest.decode(bytes).catch((error) => error);
    assert.instanceOf(error, SnapshotError, String(error));
  }
});

/** A field of bytes, by hand. */
function field(tag: number, content: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let left = content.length;; left >>>= 7) {
    if (left < 128) {
      length.push(left);
      break;
    }
    length.push(left & 127 | 128);
  }
  return concat([Uint8Array.of(tag, ...length), content]);
}

test("hostile manifests: many files below each other cost no more than their bytes allow", async () => {
  const head = field(0x0a, Uint8Array.of(8, 1, 16, 1));
  const encoder = new TextEncoder();
  const files = Array.from(
    { length: 2000 },
    (_, i) => field(0x12, field(0x0a, encoder.encode(`${i}/${"a/".repeat(500)}a`))),
  );
  const { add } = Set.prototype;
  let added = 0;
  Set.prototype.add = function (value) {
    added++;
    return add.call(this, value);
  };
  try {
    assert.strictEqual((await SnapshotManifest.decode(concat([head, ...files]))).files.length, 2000);
  } finally {
    Set.prototype.add = add;
  }
  assert.isBelow(added, 10_000); // 2 MB, in which a million directories are named
});

/** A manifest with one file, whose extension is made by hand. */
function withExtension(extension: Uint8Array): Uint8Array {
  const template = manifest({}, CHUNK);
  const head = template.subarray(0, 2 + template[1]!);
  const file = concat([Uint8Array.of(0xc2), field(0x3e, extension)]); // field 1000
  return concat([head, field(0x12, concat([field(0x0a, Uint8Array.of(97)), field(0x12, file)]))]);
}

const MANY = 2_000_000;
const HIDDEN = { "": [], "after a fixed field": [0x7d, 0, 0, 0, 0], "in a group": [0x7b] };

for (const [where, before] of Object.entries(HIDDEN)) {
  const lists: Readonly<Record<string, Uint8Array>> = {
    "chunk lengths": field(0x1a, new Uint8Array(MANY).fill(1)),
    "chunk lengths one by one": new Uint8Array(2 * MANY).fill(1).map((_, i) => i % 2 === 0 ? 0x18 : 1),
    "key groups": field(0x3a, concat([Uint8Array.of(8, 0, 16, 1), field(0x1a, new Uint8Array(MANY))])),
    "key groups in parts": concat(Array(20).fill(field(0x3a, field(0x1a, new Uint8Array(MANY / 20))))),
  };
  for (const [what, list] of Object.entries(lists)) {
    test(`hostile manifests: millions of ${what} ${where}`, async () => {
      const bytes = withExtension(concat([Uint8Array.of(8, 10), Uint8Array.from(before), list]));
      const error = await rejects(SnapshotManifest.decode(bytes), "MALFORMED");
      assert.include(error.message, "longer lists"); // before it is parsed
      assert.strictEqual(error.file, "a");
    });
  }
}

test("hostile manifests: tables of key groups", async () => {
  const chunks = await ChunkMap.of(10, { chunkSize: 10 }, noise(32, 1));
  const file = { size: 10n, chunkSize: 10, chunkDigests: chunks.digests, root: chunks.root };
  for (
    const keyGroups of [
      { first: 0, last: 0, offsets: [11n] },
      { first: 0, last: 0, offsets: [(1n << 64n) - 1n] },
      { first: 0, last: 0, offsets: [1n << 53n] },
      { first: 0, last: 1, offsets: [5n, 4n] },
      { first: 0, last: 1, offsets: [0n] },
      { first: 1, last: 0, offsets: [] },
      { first: 0, last: 2 ** 32 - 1, offsets: [] },
      { first: 32_768, last: 32_768, offsets: [0n] },
      {},
    ]
  ) {
    await rejects(SnapshotManifest.decode(manifest({}, { ...file, keyGroups })), "MALFORMED");
  }
});
