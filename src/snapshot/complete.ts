/**
 * Completing the manifest of a snapshot that another system wrote, from its files.
 *
 * @module
 */

import { chunked, ChunkMapBuilder, DEFAULT_CHUNK_SIZE, digested } from "../stream/mod.ts";
import { SnapshotManifest } from "./manifest.ts";
import { checkReader } from "./options.ts";
import { completeFile, completeMeta, copied, type FileInfo } from "./meta.ts";
import type { SnapshotReader } from "./reader.ts";

/**
 * The manifest of a snapshot, with chunk digests: its own; or, for a snapshot that braft wrote, one that is made by
 * reading all its files once. Earlier damage is not noticed; later damage, or damage on the way, is. It is that of a
 * copy: what is a reference in the snapshot is a file in it.
 *
 * @category Storage
 * @param reader the snapshot
 * @throws {SnapshotError} `NOT_FOUND` if a file is a reference, and the storage has no resolver
 *
 * @example
 * ```ts
 * import { completeManifest, KeyValueMachine, MemoryLog } from "@snapstream/snapstream";
 * import { MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
 * await replica.propose(machine.put("hello", "world"));
 * await replica.snapshot();
 * const reader = await storage.open();
 * console.assert((await completeManifest(reader)).verifiable);
 * await reader.close();
 * await replica.close();
 * ```
 */
export async function completeManifest(reader: SnapshotReader): Promise<SnapshotManifest> {
  checkReader(reader, "reader");
  if (reader.manifest.verifiable) return reader.manifest;
  const files: FileInfo[] = [];
  for (const file of reader.manifest.files) {
    const chunks = new ChunkMapBuilder(DEFAULT_CHUNK_SIZE);
    const content = reader.file(file.name, { raw: true }).pipeThrough(chunked(DEFAULT_CHUNK_SIZE)).pipeThrough(
      digested(),
    );
    for await (const { bytes, digest } of content) {
      chunks.add(digest, bytes.length);
    }
    files.push(completeFile(copied(file), await chunks.build()));
  }
  return await SnapshotManifest.of(completeMeta(reader.meta, 0), files);
}
