// Snapshots to test with.

import type { FileAttributes } from "../../src/extend.ts";
import { MemoryStorage, type SnapshotInfo, type SnapshotStorage } from "../../mod.ts";
import { pieces } from "./harness.ts";

export type Files = Readonly<Record<string, Uint8Array>>;

/** Commits a snapshot of some files. */
export async function save(
  storage: SnapshotStorage,
  index: bigint,
  files: Files,
  options: FileAttributes & { readonly chunkSize?: number | "pieces"; readonly pieceSize?: number } = {},
): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    for (const [name, content] of Object.entries(files)) {
      await pieces(content, options.pieceSize).pipeTo(writer.file(name, options));
    }
    return await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1", "p2"] });
  } finally {
    await writer.abort();
  }
}

/** A storage with one snapshot. */
export async function storageWith(index: bigint, files: Files): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await save(storage, index, files, { chunkSize: 65_536 });
  return storage;
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}
