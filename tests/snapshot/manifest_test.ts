import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type FileInfo, SnapshotManifest, type SnapshotMeta } from "../../src/snapshot/mod.ts";
import { LocalSnapshotPbMetaSchema, SnapshotExtensionSchema } from "../gen/manifest_pb.ts";
import { ChunkMap, concat, DIGEST_SIZE, sha256, toHex } from "../../src/stream/mod.ts";
import { SnapshotError } from "../../src/errors.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

const META: SnapshotMeta = { lastIncludedIndex: 1000n, lastIncludedTerm: 3n, peers: ["p1"], createdAt: 1234 };

function chunksOf(size: number, chunkSize: number, seed = 1): Promise<ChunkMap> {
  return ChunkMap.of(size, { chunkSize }, noise(Math.ceil(size / chunkSize) * DIGEST_SIZE, seed));
}

const text = fc.string({ unit: "grapheme", maxLength: 20 });
const seal = fc.record({
  keyId: fc.string({ minLength: 1, maxLength: 9 }),
  mac: fc.uint8Array({ minLength: 32, maxLength: 32 }),
});
const number63 = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n });
const anyMeta: fc.Arbitrary<SnapshotMeta> = fc.record({
  lastIncludedIndex: fc.bigInt({ min: 1n, max: (1n << 63n) - 1n }),
  lastIncludedTerm: number63,
  peers: fc.array(text, { maxLength: 5 }),
  oldPeers: fc.array(text, { maxLength: 3 }),
  createdAt: fc.integer({ min: 0, max: 2 ** 45 }),
  writer: text,
  parentIndex: number63,
  group: fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((group) => !group.includes("\0")),
  signature: fc.uint8Array({ maxLength: 70 }),
  seal,
}, { requiredKeys: ["lastIncludedIndex", "lastIncludedTerm", "peers", "createdAt"] }) as fc.Arbitrary<SnapshotMeta>;
const anyFile = fc.record({
  size: fc.integer({ min: 0, max: 2000 }),
  chunkSize: fc.integer({ min: 100, max: 1000 }),
  lengths: fc.boolean(),
  attributes: fc.record({
    userMeta: fc.uint8Array({ maxLength: 10 }),
    checksum: text,
    source: fc.constantFrom("local" as const, "reference" as const),
  }, { requiredKeys: [] }),
});

test("manifest: whatever is said of a snapshot is read back", async () => {
  await fc.assert(
    fc.asyncProperty(anyMeta, fc.array(anyFile, { maxLength: 6 }), async (meta, specs) => {
      const files: FileInfo[] = [];
      for (const [i, { size, chunkSize, lengths, attributes }] of specs.entries()) {
        const count = Math.ceil(size / chunkSize);
        const chunking = lengths
          ? { chunkLengths: Uint32Array.from({ length: count }, (_, i) => Math.min(chunkSize, size - i * chunkSize)) }
          : { chunkSize };
        const chunks = await ChunkMap.of(size, chunking, noise(count * DIGEST_SIZE, i + 1));
        files.push({ name: `f${i}/ü`, ...attributes, chunks });
      }
      const made = await SnapshotManifest.of(meta, files);
      const read = await SnapshotManifest.decodeFramed(made.framed);
      assert.strictEqual(toHex(read.bytes), toHex(made.bytes));
      assert.strictEqual(toHex(read.digest), toHex(made.digest));
      assert.isTrue(read.verifiable);
      assert.strictEqual(read.meta.createdAt, meta.createdAt);
      assert.deepEqual([read.meta.parentIndex, read.meta.writer], [meta.parentIndex, meta.writer]);
      assert.deepEqual(read.meta.signature, meta.signature);
      for (const { name, userMeta, checksum, source, chunks } of files) {
        const file = read.file(name);
        assert.deepEqual([file.userMeta, file.checksum, file.source], [userMeta, checksum, source]);
        assert.strictEqual(toHex(file.chunks!.root), toHex(chunks!.root));
      }
    }),
    { numRuns: runs(200) },
  );
});

async function sample(): Promise<SnapshotManifest> {
  return await SnapshotManifest.of({ ...META, writer: "w", parentIndex: 9n }, [
    { name: "a", chunks: await chunksOf(100, 60), checksum: "c", userMeta: Uint8Array.of(1) },
    { name: "b/c", chunks: await chunksOf(0, 60), source: "local" },
  ]);
}

for (const bits of [1, 0x80, 0xff]) {
  test(`manifest: no byte can be changed by ${bits}`, async () => {
    const { framed, bytes } = await sample();
    for (let i = 0; i < framed.length; i++) {
      const damaged = framed.slice();
      damaged[i]! ^= bits;
      try {
        const read = await SnapshotManifest.decodeFramed(damaged);
        assert.strictEqual(toHex(read.bytes), toHex(bytes), `byte ${i} was changed, and it was taken for another`);
      } catch (error) {
        assert.instanceOf(error, SnapshotError, `byte ${i}: ${error}`);
        assert.include(["CORRUPT", "MALFORMED", "UNSUPPORTED"], (error as SnapshotError).code);
      }
    }
  });
}

test("manifest: cut short at every length, with and without the frame", async () => {
  const { framed, bytes } = await sample();
  for (let length = 0; length < framed.length; length++) {
    await rejects(SnapshotManifest.decodeFramed(framed.slice(0, length)), "MALFORMED");
  }
  for (let length = 0; length < bytes.length; length++) {
    const error = await SnapshotManifest.decode(bytes.slice(0, length)).then(() => undefined, (error) => error);
    assert.instanceOf(error, SnapshotError, `${length} bytes of it were taken`);
  }
  await rejects(SnapshotManifest.decodeFramed(concat([framed, Uint8Array.of(0)])), "MALFORMED");
});

test("manifest: the signature is outside of the digest", async () => {
  const files = [{ name: "a", chunks: await chunksOf(100, 60) }];
  const plain = await SnapshotManifest.of(META, files);
  const signed = await SnapshotManifest.of({ ...META, signature: noise(64, 1) }, files);
  assert.strictEqual(toHex(signed.digest), toHex(plain.digest));
  assert.deepEqual((await SnapshotManifest.decode(signed.bytes)).meta.signature, noise(64, 1));
});

test("manifest: without group and seal it is, byte by byte, what earlier releases wrote", async () => {
  const chunks = await ChunkMap.of(5, { chunkSize: 65_536 }, new Uint8Array(32).fill(7));
  const encryption = { keyId: "k", mac: new Uint8Array(32).fill(3) };
  const { digest, bytes } = await SnapshotManifest.of({
    lastIncludedIndex: 9n,
    lastIncludedTerm: 2n,
    peers: ["a", "b"],
    oldPeers: ["a"],
    createdAt: 1_700_000_000_000,
    writer: "snapstream/0.1.0",
    parentIndex: 4n,
    signature: new Uint8Array(73).fill(1),
  }, [{ name: "state", chunks, checksum: chunks.checksum, encryption }]);
  assert.strictEqual(toHex(digest), "3155e3b0c17253576f29dfb9c407a9e1a85a187d8be1fbc57944027fa99ed7bf");
  assert.strictEqual(
    toHex(await sha256(bytes)),
    "9fd91d39ed6dbab6f0638c67d07d8c5f4d15bc4f36eb75baa87761a5d24beb3c",
  );
});

test("manifest: the group is in the digest, the seal outside of it, and both need version 2", async () => {
  const mark = { keyId: "k", mac: noise(32, 1) };
  const bare = await SnapshotManifest.of(META, []);
  const users = await SnapshotManifest.of({ ...META, group: "users" }, []);
  const orders = await SnapshotManifest.of({ ...META, group: "orders" }, []);
  const sealed = await SnapshotManifest.of({ ...META, group: "users", seal: mark }, []);
  assert.strictEqual(new Set([bare, users, orders].map(({ digest }) => toHex(digest))).size, 3);
  assert.strictEqual(toHex(sealed.digest), toHex(users.digest));
  const versionOf = ({ bytes }: SnapshotManifest) => {
    const { extension } = fromBinary(LocalSnapshotPbMetaSchema, bytes).meta!;
    return fromBinary(SnapshotExtensionSchema, extension).formatVersion;
  };
  const onlySealed = await SnapshotManifest.of({ ...META, seal: mark }, []);
  assert.strictEqual(toHex(onlySealed.digest), toHex(bare.digest));
  assert.deepEqual([bare, users, sealed, onlySealed].map(versionOf), [1, 2, 2, 2]);
  for (const manifest of [users, sealed, onlySealed]) {
    assert.deepEqual((await SnapshotManifest.decode(manifest.bytes)).meta, manifest.meta);
  }
});

test("manifest: what is no name of a group, or no seal", async () => {
  for (const group of ["", "a\0", "\udc00", "x".repeat(256), "日".repeat(86), 7, null]) {
    await rejects(SnapshotManifest.of({ ...META, group: group as string }, []), "MALFORMED");
  }
  for (const group of ["x".repeat(255), "日".repeat(85), " ", "../..", "a\nb"]) {
    assert.strictEqual((await SnapshotManifest.of({ ...META, group }, [])).meta.group, group);
  }
  for (const wrong of [{ keyId: "", mac: noise(32, 1) }, { keyId: "k", mac: noise(31, 1) }]) {
    await rejects(SnapshotManifest.of({ ...META, seal: wrong }, []), "MALFORMED");
  }
});

test("manifest: files are sorted by raw bytes, in whatever order they are given", async () => {
  const names = ["😀", "～", "a b", "a", "Z", "a/b".replace("a", "b")];
  const files = await Promise.all(names.map(async (name) => ({ name, chunks: await chunksOf(1, 1) })));
  const one = await SnapshotManifest.of(META, files);
  const other = await SnapshotManifest.of(META, files.toReversed());
  assert.deepEqual(one.files.map(({ name }) => name), ["Z", "a", "a b", "b/b", "～", "😀"]);
  assert.strictEqual(toHex(one.digest), toHex(other.digest));
});

test("manifest: numbers and times that it cannot hold are refused as such", async () => {
  const wrong: Partial<SnapshotMeta>[] = [
    { lastIncludedIndex: 0n },
    { lastIncludedIndex: 1n << 63n },
    { lastIncludedTerm: -1n },
    { lastIncludedTerm: 1n << 63n },
    { createdAt: 1.5 },
    { createdAt: NaN },
    { createdAt: Infinity },
    { createdAt: 2 ** 63 },
    { parentIndex: 1n << 63n },
    { parentIndex: -1n },
  ];
  for (const part of wrong) await rejects(SnapshotManifest.of({ ...META, ...part }, []), "MALFORMED");
});

test("manifest: names and conflicts", async () => {
  const chunks = await chunksOf(1, 1);
  for (const names of [["a", "a"], ["a", "a/b"], ["../x"], ["/x"], ["a\0"], ["__raft_snapshot_meta"]]) {
    await rejects(SnapshotManifest.of(META, names.map((name) => ({ name, chunks }))), "MALFORMED");
  }
});

test("manifest: over 64 MiB is refused", async () => {
  await rejects(SnapshotManifest.decode(new Uint8Array(64 * 1024 * 1024 + 1)), "MALFORMED");
  const file = { name: "a", userMeta: new Uint8Array(64 * 1024 * 1024), chunks: await chunksOf(1, 1) };
  await rejects(SnapshotManifest.of(META, [file]), "MALFORMED");
});
