// What all judges have in common: the states, and reading and writing them.

import { MemoryStorage, type SnapshotReader } from "../../mod.ts";
import { detectFormat, type FormatReader, openFormat, type WritableSystem, writeFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { writeFiles } from "../../src/format/disk/mod.ts";
import { sha256, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf } from "../support/harness.ts";
import { statePart } from "./judge.ts";

/** Bytes of the states: one that ends within a block of anything, and one that is large. */
export const SIZES: readonly number[] = [0, 100_003, 100 * 1024 * 1024];

/** Opens what a judge wrote, and verifies it. */
export async function opened(path: string, system: string): Promise<FormatReader> {
  const files = await sourceFiles(path);
  assert.deepInclude(await detectFormat(files), { system, sure: "certain" });
  const reader = await openFormat(files);
  const { ok, bad } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad));
  return reader;
}

/** The state is what the judge wrote; of a large one, its beginning and its end. */
export async function checkState(reader: SnapshotReader, file: string, size: number): Promise<void> {
  assert.strictEqual(await reader.size(file), size);
  for (const start of [0, Math.max(size - 1000, 0)]) {
    const length = Math.min(1000, size);
    assert.deepEqual(await bytesOf(reader.file(file, { start, end: start + length })), statePart(start, length));
  }
}

/** A snapshot of ours with this state. */
export async function ours(size: number, peers: readonly string[]): Promise<SnapshotReader> {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const target = writer.file("state").getWriter();
  for (let at = 0; at < size; at += 1024 * 1024) await target.write(statePart(at, Math.min(1024 * 1024, size - at)));
  await target.close();
  await writer.commit({ lastIncludedIndex: 4711n, lastIncludedTerm: 12n, peers });
  return await storage.open();
}

/** Writes a snapshot for another system. */
export async function write(reader: SnapshotReader, system: WritableSystem, path: string): Promise<void> {
  await writeFiles(defaultDisk(), path, writeFormat(reader, { system }));
}

/** The members of our snapshots, as braft names them. */
export const PEERS: readonly string[] = ["n1:8200:0:0", "10.0.0.2:8200:0:0"];
/** The SHA-256 of a file, in hexadecimal digits. */
export async function digestOf(reader: SnapshotReader, file: string): Promise<string> {
  return toHex(await sha256(await bytesOf(reader.file(file))));
}
