/**
 * The proof that a snapshot is bad: its bytes are here, were read more than once, each time by another way, and are not
 * the bytes that were written. Any other failure only makes it suspect, and leaves everything where it is.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import { SnapshotManifest } from "../snapshot/mod.ts";
import { sha256, toHex } from "../stream/mod.ts";
import type { Medium, Place, PlacedSnapshot, StoredSnapshot } from "./medium.ts";
import { StoredReader } from "./reader.ts";

/** The number of bad snapshots that are kept for a person. */
export const MAX_QUARANTINED = 4;

/**
 * Checks the manifest and the sizes of the files, and checks again before it reports them as wrong.
 *
 * @throws {SnapshotError} `CORRUPT` or `MALFORMED` if both checks find the same, which proves it; `UNAVAILABLE` if they
 *   differ; others as {@linkcode Medium.inspect} does
 */
export async function examine(medium: Medium, place: Place, index: bigint): Promise<StoredSnapshot> {
  let first: SnapshotError;
  try {
    return await medium.inspect(place, index);
  } catch (error) {
    if (!isProof(error)) throw error;
    first = error;
  }
  try {
    return await medium.inspect(place, index);
  } catch (error) {
    if (!isProof(error) || error.message === first.message) throw error;
    throw new SnapshotError("UNAVAILABLE", `It reads differently each time: ${first.message}; ${error.message}`, {
      index,
      cause: error,
    });
  }
}

/**
 * Decodes the manifest that was read from a path. The error includes the digest of the bytes, so equal errors mean
 * equal bytes.
 */
export async function decodeManifest(bytes: Uint8Array, path: string): Promise<SnapshotManifest> {
  try {
    return await SnapshotManifest.decodeFramed(bytes);
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    const read = `(${bytes.length} bytes, SHA-256 ${toHex(await sha256(bytes)).slice(0, 16)}…)`;
    throw new SnapshotError(error.code, `${path}: ${error.message} ${read}`, { ...error.fields, cause: error });
  }
}

/** Returns a warning about a snapshot. */
export function aboutSnapshot(error: SnapshotError, index: bigint): SnapshotError {
  return new SnapshotError(error.code, error.message, { ...error.fields, index, cause: error });
}

/** Reports whether an error of {@linkcode examine} or {@linkcode readAll} proves that a snapshot is bad. */
export function isProof(error: unknown): error is SnapshotError {
  return hasCode(error, "CORRUPT", "MALFORMED");
}

/**
 * Reads all files of a snapshot, or some. For a snapshot of braft, which has no digests, this shows only that it can be
 * read.
 *
 * @throws {SnapshotError} `CORRUPT` if something is proven wrong; whatever else it cannot be read for
 */
export async function readAll(
  placed: PlacedSnapshot,
  signal: AbortSignal | undefined,
  names: Iterable<string> = placed.manifest.files.map(({ name }) => name),
): Promise<void> {
  const reader = new StoredReader(placed, { found() {}, unreadable() {}, released() {} });
  try {
    for (const name of names) {
      try {
        for await (const _ of reader.file(name)) throwIfCancelled(signal);
      } catch (error) {
        if (reader.info(name).source !== "reference" || !hasCode(error, "NOT_FOUND")) throw error;
      }
    }
  } finally {
    await reader.close();
  }
}
