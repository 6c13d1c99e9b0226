// Every byte of a stored snapshot goes bad, each by itself: what is read, verified, served or pulled is never wrong, and the
// one before takes over.

import {
  hasCode,
  MemoryStorage,
  pull,
  SnapshotError,
  snapshotHandler,
  type SnapshotReader,
  type SnapshotStorage,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { concat, equal } from "../../src/stream/mod.ts";
import { Random } from "../support/random.ts";
import { assert, noise, pieces } from "../support/harness.ts";
import { contentOf as bytesOfNode, type FileNode, type Image, nodeAt } from "./image.ts";
import { ROOT } from "./promise.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

/** How much was damaged, and where it was found. */
export interface Damage {
  cases: number;
  /** When the storage was opened: it was put aside. */
  atOpening: number;
  /** When it was read and verified. */
  whenRead: number;
  /** Of these, those that were served to others, who did not take them. */
  served: number;
}

const MANIFEST = "__raft_snapshot_meta";
const CHUNK = 700;
/** Two files of the same length, one of several chunks of which two are as long; one of one byte; an empty one. */
const FILES: Readonly<Record<string, number>> = { "a/b": 500, "a/c": 500, empty: 0, one: 1, state: 3 * CHUNK + 100 };

function contentOf(index: bigint): Record<string, Uint8Array> {
  const entries = Object.entries(FILES);
  return Object.fromEntries(entries.map(([name, size], i) => [name, noise(size, Number(index) * 10 + i)]));
}

async function save(storage: SnapshotStorage, index: bigint): Promise<void> {
  const writer = await storage.create();
  for (const [name, content] of Object.entries(contentOf(index))) {
    await pieces(content, CHUNK).pipeTo(writer.file(name, { chunkSize: "pieces" }));
  }
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
}

/** A damage: what becomes of the files of snapshot 2. */
interface Case {
  readonly what: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

/** All damages of one file: flipped bytes, cut ends, swapped chunks. */
function* damagesOf(name: string, bytes: Uint8Array, boundaries: readonly number[]): Generator<Case> {
  const all = name === MANIFEST;
  const at = new Set(all ? bytes.keys() : boundaries.flatMap((b) => [b - 1, b, b + (CHUNK >> 1)]));
  for (const position of at) {
    if (position < 0 || position >= bytes.length) continue;
    for (const mask of [1 << (position & 7), 0xff]) {
      const damaged = bytes.slice();
      damaged[position]! ^= mask;
      yield { what: `${name}: byte ${position} ^ ${mask}`, files: { [name]: damaged } };
    }
  }
  for (const length of all ? bytes.keys() : boundaries.flatMap((b) => [b - 1, b, b + 1])) {
    if (length < 0 || length >= bytes.length) continue;
    yield { what: `${name}: cut at ${length}`, files: { [name]: bytes.slice(0, length) } };
    const zeroed = bytes.slice().fill(0, length); // a hole, where blocks were never written
    if (!equal(zeroed, bytes)) yield { what: `${name}: zeros from ${length}`, files: { [name]: zeroed } };
  }
  yield { what: `${name}: a byte more`, files: { [name]: concat([bytes, Uint8Array.of(0)]) } };
}

function* damages(
  files: Readonly<Record<string, Uint8Array>>,
  older: Readonly<Record<string, Uint8Array>>,
): Generator<Case> {
  for (const [name, bytes] of Object.entries(files)) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, i) => i * CHUNK);
    yield* damagesOf(name, bytes, [...chunks, bytes.length]);
    if (!equal(bytes, older[name]!)) yield { what: `${name}: that of snapshot 1`, files: { [name]: older[name]! } };
  }
  const { state, "a/b": b, "a/c": c } = files as Record<"state" | "a/b" | "a/c", Uint8Array>;
  const [first, second] = [state.subarray(0, CHUNK), state.subarray(CHUNK, 2 * CHUNK)];
  yield { what: "two chunks swapped", files: { state: concat([second, first, state.subarray(2 * CHUNK)]) } };
  yield { what: "two files swapped", files: { "a/b": c, "a/c": b } };
}

/** A disk on which files of a snapshot are others. */
function damaged(image: Image, files: Readonly<Record<string, Uint8Array>>): Image {
  const next = new Map(image);
  for (const [name, bytes] of Object.entries(files)) {
    next.set(nodeAt(image, `${ROOT}/snapshot_00000000000000000002/${name}`)!, { size: bytes.length, bytes });
  }
  return next;
}

/** Reads a file to where it fails; and fails itself if one byte is handed on that is not as it was. Whether all were. */
async function isHandedOn(stream: AsyncIterable<Uint8Array>, name: string, bytes: Uint8Array): Promise<boolean> {
  let at = 0;
  try {
    for await (const piece of stream) {
      assert.isTrue(equal(piece, bytes.subarray(at, at + piece.length)), `${name} is handed on as it is not`);
      at += piece.length;
    }
    assert.equal(at, bytes.length);
    return true;
  } catch (error) {
    if (!hasCode(error, "CORRUPT")) throw error;
    return false;
  }
}

/** Whether all files could be read. */
async function reads(reader: SnapshotReader, content: Readonly<Record<string, Uint8Array>>): Promise<boolean> {
  let whole = true;
  for (const [name, bytes] of Object.entries(content)) {
    if (!await isHandedOn(reader.file(name), name, bytes)) whole = false;
  }
  return whole;
}

/** A disk with the snapshots 1 and 2. */
async function withTwo(): Promise<Image> {
  const disk = new SimulatedDisk();
  const storage = await DirectoryStorage.open(ROOT, { disk });
  for (const index of [1n, 2n]) await save(storage, index);
  await storage.close();
  return disk.image;
}

/** How much is damaged: of the manifest, which has the most bytes, and of what is also served, a share. */
export interface DamageExtent {
  readonly manifest: number;
  readonly served: number;
}

/** Damages everything that can be; throws if something is not found. */
export async function damageAll(seed: number, { manifest, served }: DamageExtent, counts: Damage): Promise<void> {
  const image = await withTwo();
  const filesOf = (index: number) =>
    Object.fromEntries([...Object.keys(FILES), MANIFEST].map((name) => {
      const node = nodeAt(image, `${ROOT}/snapshot_0000000000000000000${index}/${name}`)!;
      return [name, bytesOfNode(image.get(node) as FileNode)];
    }));
  const random = new Random(seed);
  const files = filesOf(2);
  for (const { what, files: bad } of damages(files, filesOf(1))) {
    if (what.startsWith(MANIFEST) && !random.chance(manifest)) continue;
    counts.cases++;
    try {
      await findIt(damaged(image, bad), random.chance(served), counts);
    } catch (error) {
      throw new Error(`Seed ${seed}: ${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
}

/** Several chunks are damaged at once: verifying lists exactly these, and says how far it is. */
export async function damageSeveral(seed: number, times: number): Promise<void> {
  const image = await withTwo();
  const good = await DirectoryStorage.open(ROOT, { disk: new SimulatedDisk(image) });
  const { manifest } = await good.open();
  await good.close();
  const random = new Random(seed);
  for (let i = 0; i < times; i++) {
    const expected: string[] = [];
    const files: Record<string, Uint8Array> = {};
    for (const { name, chunks } of manifest.files) {
      const bytes = contentOf(2n)[name]!;
      for (let chunk = 0; chunk < chunks!.count; chunk++) {
        if (random.chance(0.6)) continue;
        bytes[chunks!.offset(chunk) + random.below(chunks!.length(chunk))]! ^= 1 << random.below(8);
        expected.push(`${name} ${chunk}`);
      }
      files[name] = bytes;
    }
    const storage = await DirectoryStorage.open(ROOT, { disk: new SimulatedDisk(damaged(image, files)) });
    const reader = await storage.open(2n);
    const verifying = reader.verify();
    let seen = 0;
    for await (const { bytes, total } of verifying) {
      assert.isAtLeast(bytes, seen);
      assert.equal(total, manifest.size);
      seen = bytes;
    }
    const { ok, bad, chunks } = await verifying.result;
    assert.deepEqual(bad.map(({ file, chunk }) => `${file} ${chunk}`), expected, `seed ${seed}, ${i}`);
    assert.equal(ok, expected.length === 0);
    assert.equal(chunks, manifest.content.count - expected.length);
    await reader.close();
    await storage.close();
  }
}

async function findIt(image: Image, isServed: boolean, counts: Damage): Promise<void> {
  if (isServed) {
    counts.served++;
    await isNotTaken(image);
  }
  let storage: DirectoryStorage;
  try {
    storage = await DirectoryStorage.open(ROOT, { disk: new SimulatedDisk(image) });
  } catch (error) {
    // What looks like the snapshot of a newer release is not put aside, since it would be lost to that release.
    if (!hasCode(error, "UNSUPPORTED")) throw error;
    counts.atOpening++;
    return;
  }
  if (storage.damaged.length > 0) counts.atOpening++;
  else {
    const reader = await storage.open(2n);
    const { ok, bad } = await reader.verify().result;
    assert.equal(ok, bad.length === 0);
    const whole = await reads(reader, contentOf(2n));
    assert.equal(ok, whole);
    assert.isFalse(ok, "It was not found");
    counts.whenRead++;
    await reader.close();
  }
  const older = await storage.open(); // the one before takes over
  assert.equal(older.meta.lastIncludedIndex, 1n);
  assert.isTrue(await reads(older, contentOf(1n)));
  await older.close();
  await storage.close();
}

/** Others who pull from a storage with it get what was saved, or the one before, or nothing. */
async function isNotTaken(image: Image): Promise<void> {
  let storage: DirectoryStorage;
  try {
    storage = await DirectoryStorage.open(ROOT, { disk: new SimulatedDisk(image), readOnly: true });
  } catch (error) {
    if (hasCode(error, "UNSUPPORTED")) return;
    throw error;
  }
  const handler = snapshotHandler(storage, { allowWrites: true });
  const here = new MemoryStorage();
  const source = { url: "http://there/", fetch: (request: Request) => handler(request) };
  for (const [name, bytes] of Object.entries(contentOf(2n))) {
    const response = await handler(new Request(`http://there/snapshots/2/files/${name}`));
    if (response.ok) await isHandedOn(response.body ?? new Blob().stream(), name, bytes);
  }
  try {
    await pull(here, [source], { retryFor: 0, timeout: 5000 }).result;
  } catch (error) {
    assert.instanceOf(error, SnapshotError);
  }
  for (const { meta } of await here.list()) {
    const reader = await here.open(meta.lastIncludedIndex);
    assert.isTrue(await reads(reader, contentOf(meta.lastIncludedIndex)));
    await reader.close();
  }
  await here.close();
  await handler.close();
  await storage.close();
}
