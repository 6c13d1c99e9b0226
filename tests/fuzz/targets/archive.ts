// Archives, described and streamed: records and what is in them changed, with digests and totals made right again.

import { archive, MemoryStorage, streamedArchive, unarchive } from "../../../mod.ts";
import { Type } from "../../../src/snapshot/archive/format.ts";
import { SnapshotError } from "../../../src/errors.ts";
import {
  archiveMagic,
  type ArchiveRecord,
  decodeRecords,
  encodeRecord,
} from "../../../src/snapshot/archive/records.ts";
import { concat, sha256, u32, u64 } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { pieces } from "../../support/harness.ts";
import { fromHex } from "../../support/samples.ts";
import { mutate, someNumber } from "../mutate.ts";
import { encodeFields, mutateFields, treeOf } from "../protobuf.ts";
import { law, must, type Target } from "../target.ts";
import { checkSent } from "./archive_laws.ts";
import { checkNewest } from "./content.ts";
import { mutateManifest } from "./manifest.ts";
import { chunksOf, commitFiles, FILES, META, reading, sampleStorage } from "./samples.ts";

const OLD = { ...META, lastIncludedIndex: 3n };
/** What is at the end of a file: `FileExtension` with nothing but these two. */
const ENDING = { 7: {}, 8: {} };
/** A seal is that with nothing but the last. */
const SEAL = { 8: {} };
/** Of which group a part of the archives is. */
const GROUP = "users";

async function recordsOf(stream: ReadableStream<Uint8Array>): Promise<ArchiveRecord[]> {
  return await Array.fromAsync(decodeRecords(stream, () => 2 ** 31));
}

/** The records of archives to begin with. */
export async function archives(): Promise<ArchiveRecord[][]> {
  const storage = await sampleStorage();
  const described = await reading(storage, (reader) => recordsOf(archive(reader)));
  await storage.close();
  const keyGroups = { first: 0, last: 1, offsets: Float64Array.of(0, 40) };
  const streamed = streamedArchive(META, async (writer) => {
    await Promise.all(
      Object.entries(FILES).map(([name, chunks]) =>
        chunksOf(chunks).pipeTo(writer.file(name, {
          chunkSize: "pieces",
          ...(name === "a" && { keyGroups: () => keyGroups, userMeta: Uint8Array.of(1) }),
          ...(name === "one" && { encryption: () => Promise.resolve({ keyId: "k", mac: new Uint8Array(32) }) }),
        }))
      ),
    );
  });
  const small = streamedArchive(META, (writer) => chunksOf([new Uint8Array(9)]).pipeTo(writer.file("x")));
  const sealed = streamedArchive({ ...META, group: GROUP }, async (writer) => {
    writer.sealWith(() => Promise.resolve({ keyId: "k", mac: new Uint8Array(32).fill(7) }));
    await chunksOf([new Uint8Array(9)]).pipeTo(writer.file("x"));
  });
  return [described, await recordsOf(streamed), await recordsOf(small), await recordsOf(sealed)];
}

/** A record with its insides changed, and made to look right. */
async function mutateRecord(record: ArchiveRecord, random: Random, all: readonly ArchiveRecord[]) {
  const { type, payload } = record;
  const alike = all.filter((other) => other.type === type).map(({ payload }) => payload);
  const inner = (skip: number) => random.chance(0.3) ? mutate(payload.subarray(skip), random) : undefined;
  switch (type) {
    case Type.MANIFEST:
    case Type.HEADER:
      return { type, payload: inner(0) ?? await mutateManifest(payload, random) };
    case Type.FILE: {
      const size = random.chance(0.3) ? u32(Number(someNumber(random) & 0xffff_ffffn)) : payload.subarray(0, 4);
      return { type, payload: concat([size, inner(4) ?? await mutateManifest(payload.subarray(4), random)]) };
    }
    case Type.CHUNK: {
      const bytes = mutate(payload.subarray(36), random, [payload]);
      const number = random.chance(0.2) ? u32(random.below(6)) : payload.subarray(0, 4);
      return { type, payload: concat([number, await sha256(bytes), bytes]) };
    }
    case Type.FILE_END: {
      const fields = treeOf(payload.subarray(12), ENDING);
      if (fields === undefined || random.chance(0.3)) return { type, payload: mutate(payload, random, alike) };
      mutateFields(fields, random);
      return { type, payload: concat([payload.subarray(0, 12), encodeFields(fields)]) };
    }
    case Type.SEAL: {
      const fields = treeOf(payload, SEAL);
      if (fields === undefined || random.chance(0.3)) return { type, payload: mutate(payload, random, alike) };
      mutateFields(fields, random);
      return { type, payload: encodeFields(fields) };
    }
    default:
      return { type, payload: mutate(payload, random, alike) };
  }
}

/** Archives changed by records; the sizes of files, and the totals, are right again most of the time. */
export async function mutateArchive(
  seed: readonly ArchiveRecord[],
  random: Random,
  others: readonly ArchiveRecord[],
): Promise<ArchiveRecord[]> {
  const records = [...seed];
  for (let times = random.pick([1, 1, 2, 3]); times > 0 && records.length > 0; times--) {
    const at = random.chance(0.15) ? records.length - 1 : random.below(records.length);
    const to = random.below(records.length);
    const { type, payload } = records[at]!;
    const what = random.below(16);
    if (what === 0) records.splice(at, 1);
    else if (what === 1) records.splice(to, 0, records[at]!);
    else if (what === 2) [records[at], records[to]] = [records[to]!, records[at]!];
    else if (what === 3) records.splice(at, 0, random.pick(others));
    else if (what === 4) records[at] = { type: random.below(10), payload };
    else if (what === 5) records[at] = { type, payload: mutate(payload, random, others.map(({ payload }) => payload)) };
    else records[at] = await mutateRecord(records[at]!, random, others);
  }
  const right = random.chance(0.8) ? totalled(records) : records;
  return random.chance(0.1) ? miscounted(right, random) : right;
}

/** Sets the sizes in FILE_ENDs, and the totals in the END, to what was sent. */
export function totalled(records: readonly ArchiveRecord[]): ArchiveRecord[] {
  const sizes = new Map<string, number>();
  let [files, bytes] = [0, 0];
  return records.map(({ type, payload }) => {
    const key = payload.subarray(0, 4).join();
    if (type === Type.FILE) files++;
    const size = type === Type.CHUNK ? payload.length - 36 : type === Type.PART ? payload.length - 4 : 0;
    bytes += Math.max(size, 0);
    sizes.set(key, (sizes.get(key) ?? 0) + Math.max(size, 0));
    if (type === Type.FILE_END && payload.length >= 12) {
      return { type, payload: concat([payload.subarray(0, 4), u64(sizes.get(key)!), payload.subarray(12)]) };
    }
    if (type !== Type.END || payload.length < 12) return { type, payload };
    const count = files === 0 ? payload.subarray(0, 4) : u32(files); // a described one says them in its manifest
    return { type, payload: concat([count, u64(bytes), payload.subarray(12)]) };
  });
}

/** Makes a number in a FILE_END, or in the END, a little wrong. */
function miscounted(records: readonly ArchiveRecord[], random: Random): ArchiveRecord[] {
  const counts = records.filter(({ type }) => type === Type.FILE_END || type === Type.END);
  const hit = counts.length === 0 ? undefined : random.pick(counts);
  return records.map((record) => {
    if (record !== hit || record.payload.length < 12) return record;
    const payload = record.payload.slice();
    payload[random.pick([3, 11, 11])]! += random.pick([-1, 1]);
    return { type: record.type, payload };
  });
}

/** Puts a snapshot digest into the END. */
function withDigest(records: readonly ArchiveRecord[], digest: Uint8Array): ArchiveRecord[] {
  return records.map(({ type, payload }) =>
    type === Type.END && payload.length >= 44
      ? { type, payload: concat([payload.subarray(0, 12), digest, payload.subarray(44)]) }
      : { type, payload }
  );
}

/** Records as an archive. */
export function joined(records: readonly ArchiveRecord[]): Uint8Array {
  return concat([archiveMagic(), ...records.flatMap(({ type, payload }) => [...encodeRecord(type, payload)])]);
}

/** Lengths that some records can have, and some cannot. */
const CLAIMS = [0, 3, 4, 5, 1000, 2 ** 16, 2 ** 20, 2 ** 22, 2 ** 24, 2 ** 26 - 1, 2 ** 26, 2 ** 26 + 1, 2 ** 32 - 1];

/** Says of a record that it is longer, or shorter, than it is. */
function withClaim(bytes: Uint8Array, records: readonly ArchiveRecord[], random: Random): Uint8Array {
  const copy = bytes.slice();
  const before = records.slice(0, random.chance(0.4) ? 0 : random.below(records.length));
  const at = archiveMagic().length + before.reduce((sum, { payload }) => sum + 5 + payload.length, 0);
  if (at + 5 <= copy.length) copy.set(u32(random.pick(CLAIMS)), at + 1);
  return copy;
}

/** Takes an archive in; it is all there then, or nothing is. */
async function taken(bytes: Uint8Array, random: Random, storage: MemoryStorage): Promise<string> {
  try {
    await unarchive(pieces(bytes, random.chance(0.02) ? 1 : random.pick([20, 100, 5000])), storage).result;
  } catch (error) {
    law((await storage.list()).length === 1, "what was refused is not there");
    law(storage.installing === undefined, "what was refused is not being received any more");
    await must("another one is written", async () => await (await storage.create()).abort());
    throw error;
  }
  law((await storage.list()).length === 2, "what was taken in is there");
  return await checkNewest(storage);
}

/** The digest that a streamed archive should have had. */
function wantedDigest(error: unknown): Uint8Array | undefined {
  const { code, actual, expected } = error instanceof SnapshotError ? error : {};
  const isDigest = code === "CORRUPT" && [actual, expected].every((it) => /^[0-9a-f]{64}$/.test(String(it)));
  return isDigest ? fromHex(String(actual)) : undefined;
}

export const archiveTarget: Target = {
  name: "archive",
  share: 32,
  codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED", "STALE", "FORBIDDEN"],
  mostBytes: 48 * 1024 * 1024, // several files at a time, each with a chunk of up to 4 MiB
  async prepare() {
    const corpus = await archives();
    const others = corpus.flat();
    return async (random) => {
      const records = await mutateArchive(random.pick(corpus), random, others);
      const plain = joined(records);
      const how = random.below(20);
      let bytes = how === 0 ? withClaim(plain, records, random) : how === 1 ? mutate(plain, random) : plain;
      const group = random.chance(0.3) ? { group: GROUP } : {};
      const storage = new MemoryStorage({ retain: 5, ...random.chance(0.5) && group });
      await commitFiles(storage, { ...OLD, ...group }, { old: [new Uint8Array(3)] });
      let digest: string;
      try {
        digest = await taken(bytes, random, storage);
      } catch (error) {
        const wanted = wantedDigest(error);
        if (wanted === undefined || how < 2) throw error;
        bytes = joined(withDigest(records, wanted)); // who can compute it sends it
        digest = await taken(bytes, random, storage);
      }
      const sent = await must("it was taken in", () => recordsOf(pieces(bytes)));
      await reading(storage, (reader) => checkSent(sent, reader));
      law(await reading(storage, ({ meta }) => meta.group) === group.group, "what was taken in is of the same group");
      const next = new MemoryStorage();
      await must("it is sent on", () => reading(storage, (reader) => unarchive(archive(reader), next).result));
      law(await checkNewest(next) === digest, "what was sent on is the same");
      await Promise.all([storage.close(), next.close()]);
    };
  },
};
