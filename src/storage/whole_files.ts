/**
 * Files of complete snapshots by what is in them.
 *
 * @module
 */

import { type ChunkMap, toHex } from "../stream/mod.ts";
import type { PlacedSnapshot } from "./medium.ts";

/** A file of a complete snapshot. */
export interface WholeFile {
  /** The index of the snapshot. */
  readonly index: bigint;
  /** Where the snapshot lies. */
  readonly place: string;
  /** What the file is called there. */
  readonly name: string;
  /** Its chunks there. */
  readonly chunks: ChunkMap;
}

/** The files of snapshots by their roots in hexadecimal; of the same in several, that of the newest. */
export function wholeFiles(snapshots: readonly PlacedSnapshot[]): ReadonlyMap<string, WholeFile> {
  const files = new Map<string, WholeFile>();
  for (const { place, manifest } of [...snapshots].reverse()) {
    for (const { name, chunks } of manifest.files) {
      if (chunks !== undefined) files.set(toHex(chunks.root), { index: manifest.index, place, name, chunks });
    }
  }
  return files;
}
