// Archives to take apart, and whether they are taken.

import { archive, MemoryStorage, SnapshotError, type SnapshotReader, streamedArchive, unarchive } from "../../mod.ts";
import { archiveMagic, type ArchiveRecord, decodeRecords, encodeRecord } from "../../src/snapshot/archive/records.ts";
import { concat, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, pieces, test } from "./harness.ts";
import { type Files, storageWith } from "./samples.ts";

/** The two kinds of archives. */
export const KINDS: Readonly<Record<string, (reader: SnapshotReader) => ReadableStream<Uint8Array>>> = {
  described: (reader) => archive(reader),
  streamed: (reader) =>
    streamedArchive(reader.meta, async (writer) => {
      for (const { name, chunks, keyGroups, encryption: _, ...attributes } of reader.manifest.files) {
        const { chunking } = chunks!;
        const chunkSize = "chunkSize" in chunking ? chunking.chunkSize : "pieces";
        await reader.file(name).pipeTo(writer.file(name, { ...attributes, chunkSize, keyGroups: () => keyGroups }));
      }
    }),
};

/** A test for each kind. */
export function testKinds(
  what: string,
  run: (make: (reader: SnapshotReader) => ReadableStream<Uint8Array>, kind: string) => Promise<void>,
): void {
  for (const [kind, make] of Object.entries(KINDS)) test(`archive, ${kind}: ${what}`, () => run(make, kind));
}

export async function archiveOf(
  files: Files,
  make: (reader: SnapshotReader) => ReadableStream<Uint8Array> = archive,
  index = 5n,
): Promise<Uint8Array> {
  const storage = await storageWith(index, files);
  const reader = await storage.open();
  const whole = await bytesOf(make(reader));
  await storage.close();
  return whole;
}

/** The records of an archive. */
export async function recordsOf(whole: Uint8Array): Promise<ArchiveRecord[]> {
  const records: ArchiveRecord[] = [];
  for await (const record of decodeRecords(pieces(whole), () => 2 ** 32)) records.push(record);
  return records;
}

export function joined(records: readonly ArchiveRecord[]): Uint8Array {
  return concat([archiveMagic(), ...records.flatMap(({ type, payload }) => [...encodeRecord(type, payload)])]);
}

/** That an archive is refused; or, where a change means nothing, gives what it was made of. */
export async function refusedOrSame(whole: Uint8Array, digest: Uint8Array, what: string): Promise<void> {
  const storage = new MemoryStorage();
  const taken = await unarchive(pieces(whole, 100_000), storage).result.then((info) => info, () => undefined);
  if (taken === undefined) await refused(whole, what);
  else assert.strictEqual(toHex(taken.digest), toHex(digest), what);
  await storage.close();
}

/** That an archive is refused, and the storage is then as if nothing had been. */
export async function refused(whole: Uint8Array, what: string, piece = 100_000): Promise<SnapshotError> {
  const storage = new MemoryStorage();
  const error = await unarchive(pieces(whole, piece), storage).result.then(() => undefined, (error) => error);
  assert.instanceOf(error, SnapshotError, `${what} was taken`);
  assert.include(["CORRUPT", "MALFORMED", "UNSUPPORTED"], error.code, what);
  assert.deepEqual(await storage.list(), []);
  await (await storage.create()).abort();
  await storage.close();
  return error;
}
