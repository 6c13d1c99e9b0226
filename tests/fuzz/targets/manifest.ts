// Manifests: bytes changed anyhow, and fields changed with the digests around them made right again.

import { SnapshotManifest } from "../../../mod.ts";
import { concat, equal, MAX_CHUNK_SIZE, sha256, u32 } from "../../../src/stream/mod.ts";
import { accepted, rejects } from "../../support/braft_manifests.ts";
import { fromHex } from "../../support/samples.ts";
import type { Random } from "../../support/random.ts";
import { mutate, someNumber } from "../mutate.ts";
import { encodeFields, type Field, fieldsAt, mutateFields, setField, type Shape, treeOf, varint } from "../protobuf.ts";
import { type Attempt, law, must, type Target } from "../target.ts";
import { checkMap } from "./chunk_map.ts";
import { areNames } from "./names.ts";
import { manifests } from "./samples.ts";

/** The messages of a manifest. */
export const MANIFEST: Shape = { 1: { 1000: { 8: {} } }, 2: { 2: { 1000: { 7: {}, 8: {} } } } };
const EXTENSION = 1000;

/** The SHA-256 that a manifest must have: of itself without digest, signature and seal. */
async function digestOf(fields: readonly Field[]): Promise<Uint8Array> {
  const bare = structuredClone(fields) as Field[];
  const extension = fieldsAt(bare, 1, EXTENSION);
  if (extension !== undefined) {
    for (const number of [5, 6, 8]) setField(extension, number, undefined);
    if (!extension.some(({ number }) => number === 7)) asVersion(extension, 2n, 1n); // which only the seal had made it
  }
  return await sha256(encodeFields(bare));
}

/** Says that it is of one version in the place of another. */
function asVersion(extension: Field[], from: bigint, to: bigint): void {
  if (extension.some(({ number, value }) => number === 1 && value === from)) setField(extension, 1, to);
}

/** Makes version and digests right, as an attacker would. */
export async function seal(fields: readonly Field[]): Promise<void> {
  for (const { number, value } of fields) {
    const extension = number === 2 && Array.isArray(value) ? fieldsAt(value, 2, EXTENSION) : undefined;
    const find = (wanted: number) => extension?.find(({ number }) => number === wanted)?.value;
    const [size, digests] = [find(1), find(4) ?? new Uint8Array(0)];
    if (typeof size !== "bigint" || !(digests instanceof Uint8Array)) continue;
    const head = new Uint8Array(8);
    new DataView(head.buffer).setBigUint64(0, BigInt.asUintN(64, size));
    setField(extension!, 5, await sha256(concat([head, digests])));
  }
  const extension = fieldsAt(fields, 1, EXTENSION);
  if (extension === undefined) return;
  const isNew = extension.some(({ number }) => number === 7 || number === 8);
  asVersion(extension, isNew ? 1n : 2n, isNew ? 2n : 1n);
  setField(extension, 6, await digestOf(fields));
}

/** Cuts a file into chunks of other lengths, which make it up all the same. */
function mutateChunks(fields: readonly Field[], random: Random): void {
  const files = fields.flatMap(({ number, value }) =>
    number === 2 && Array.isArray(value) ? [fieldsAt(value, 2, EXTENSION) ?? []] : []
  );
  const extension = files.length === 0 ? [] : random.pick(files);
  const find = (wanted: number) => extension.find(({ number }) => number === wanted)?.value;
  const digests = find(4);
  if (!(digests instanceof Uint8Array) || digests.length === 0) return;
  const count = digests.length / 32;
  const length = 1n + BigInt.asUintN(32, someNumber(random) - 1n);
  if (find(2) !== undefined) {
    setField(extension, 2, length);
    setField(extension, 1, BigInt(count) * length - BigInt(random.below(Number(length))));
  } else {
    const lengths = Array.from({ length: count }, () => random.chance(0.7) ? 1n + BigInt(random.below(1000)) : length);
    setField(extension, 3, concat(lengths.map((it) => varint(it))));
    setField(extension, 1, lengths.reduce((sum, it) => sum + it, 0n));
  }
}

/** Changes the fields of a manifest; mostly so that its digests are right again. */
export async function mutateManifest(
  bytes: Uint8Array,
  random: Random,
  others: readonly Field[][] = [],
): Promise<Uint8Array> {
  const fields = treeOf(bytes, MANIFEST);
  if (fields === undefined) return mutate(bytes, random); // it was changed before
  if (random.chance(0.1)) mutateChunks(fields, random);
  else mutateFields(fields, random, others);
  if (random.chance(0.8)) await seal(fields);
  return encodeFields(fields);
}

/** What must hold of a manifest that was taken. */
export async function checkManifest(manifest: SnapshotManifest, bytes: Uint8Array, random: Random): Promise<void> {
  const { meta, files } = manifest;
  law(meta.lastIncludedIndex > 0n && meta.lastIncludedIndex < 2n ** 63n, "an index is 1 to 2^63-1");
  law(meta.lastIncludedTerm >= 0n && meta.lastIncludedTerm < 2n ** 63n, "a term is 0 to 2^63-1");
  law((meta.signature?.length ?? 0) <= 1024, "a signature is short");
  const { group = "users", seal: mark } = meta;
  law(group !== "" && !group.includes("\0") && new TextEncoder().encode(group).length <= 255, "a group has a name");
  law(mark === undefined || mark.mac.length === 32 && mark.keyId !== "", "a seal has 32 bytes");
  law(areNames(files.map(({ name }) => name)), "the names can be in one snapshot");
  for (const { name, chunks, keyGroups, encryption } of files) {
    law(manifest.file(name).chunks === chunks, "a file is found by its name");
    if (encryption !== undefined) law(encryption.mac.length === 32 && encryption.keyId !== "", "a mac has 32 bytes");
    for (const offset of keyGroups?.offsets ?? []) law(offset <= chunks!.size, "a key group begins in its file");
    if (chunks === undefined) continue;
    checkMap(chunks, random);
    const { chunking } = chunks;
    const sizes = "chunkSize" in chunking ? [chunking.chunkSize] : [...chunking.chunkLengths];
    law(sizes.every((size) => size <= MAX_CHUNK_SIZE), "chunks are small");
  }
  if (manifest.verifiable && meta.createdAt !== undefined) {
    law(equal(manifest.bytes, bytes), "what was digested is what was sent, byte by byte");
    law(equal(manifest.digest, await digestOf(treeOf(bytes, MANIFEST)!)), "the digest is that of the manifest");
  }
  const again = await must("what was read is written and read", () => SnapshotManifest.decodeFramed(manifest.framed));
  law(equal(again.digest, manifest.digest) && equal(again.bytes, manifest.bytes), "it means the same again");
}

/** Attacks with some manifests, which are not framed. */
export function attackWith(corpus: readonly Uint8Array[]): Attempt {
  const trees = corpus.flatMap((bytes) => [treeOf(bytes, MANIFEST) ?? []]);
  return async (random) => {
    const seed = random.pick(corpus);
    const bytes = random.chance(0.3) ? mutate(seed, random, corpus) : await mutateManifest(seed, random, trees);
    const framed = concat([u32(bytes.length), bytes]);
    const input = random.chance(0.03) ? mutate(framed, random) : framed;
    await checkManifest(await SnapshotManifest.decodeFramed(input), input.subarray(4), random);
  };
}

export const manifest: Target = {
  name: "manifest",
  share: 130,
  codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED"],
  async prepare() {
    const braft = [...accepted, ...rejects].map(({ hex }) => fromHex(hex).slice(4)).filter((it) =>
      treeOf(it, MANIFEST) !== undefined
    );
    const own = await manifests();
    return attackWith([...own, ...own, ...own, ...braft]);
  },
};
