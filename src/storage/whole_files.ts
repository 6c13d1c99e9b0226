/**
 * Files of complete snapshots, found by their content.
 *
 * @module
 */

import { type ChunkMap, toHex } from "../stream/mod.ts";
import type { PlacedSnapshot, ReadablePlace } from "./medium.ts";

/** A file of a complete snapshot. */
export interface WholeFile {
  /** The index of the snapshot. */
  readonly index: bigint;
  /** The place of the snapshot. */
  readonly place: ReadablePlace;
  /** The name of the file there. */
  readonly name: string;
  /** Its chunks there. */
  readonly chunks: ChunkMap;
}

/** Returns the files of snapshots by their hexadecimal roots; of equal files, that of the newest snapshot. */
export function wholeFiles(snapshots: readonly PlacedSnapshot[]): ReadonlyMap<string, WholeFile> {
  const files = new Map<string, WholeFile>();
  for (const { place, manifest } of [...snapshots].reverse()) {
    for (const { name, chunks } of manifest.files) {
      if (chunks !== undefined) files.set(toHex(chunks.root), { index: manifest.index, place, name, chunks });
    }
  }
  return files;
}
