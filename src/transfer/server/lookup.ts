/**
 * Finding what a handler serves: snapshots, and the part that has come of one that is being received.
 *
 * @module
 */

import { hasCode } from "../../errors.ts";
import type { FileReader, SnapshotInstall, SnapshotManifest, SnapshotStorage } from "../../snapshot/mod.ts";
import { ChunkSet, toHex } from "../../stream/mod.ts";
import type { DownloadLeases, Selector } from "./download_leases.ts";

/** A snapshot, or a part of one. */
export interface Served {
  /** The manifest of all of it. */
  readonly manifest: SnapshotManifest;
  /** True if all of it is here. */
  readonly complete: boolean;
  /** Its files, as far as they are here. */
  readonly files: FileReader;
  /** Reports whether all chunks in a range of the content are here. */
  has(start: number, end: number): boolean;
  /** Releases it. */
  close(): Promise<void>;
}

/**
 * Finds a snapshot; or, by its index or digest, the one that is being received.
 *
 * @throws {SnapshotError} `NOT_FOUND`
 */
export function find(storage: SnapshotStorage, leases: DownloadLeases, which: Selector): Promise<Served> {
  return hereOrComing<Served>(storage, which, async () => {
    const { manifest, reader, release } = await leases.lend(which);
    return { manifest, complete: true, files: reader, has: () => true, close: release };
  }, (install) => ({
    manifest: install.manifest,
    complete: false,
    files: install,
    has: (start, end) => hasRange(install, start, end),
    close: () => Promise.resolve(),
  }));
}

/** What is known of a snapshot that is here, or, if there is none, of the one that is being received. */
async function hereOrComing<T>(
  storage: SnapshotStorage,
  which: Selector,
  here: () => Promise<T>,
  coming: (install: SnapshotInstall) => T,
): Promise<T> {
  try {
    return await here();
  } catch (error) {
    const install = storage.installing;
    if (hasCode(error, "NOT_FOUND") && install !== undefined && isMeant(install.manifest, which)) {
      return coming(install);
    }
    throw error;
  }
}

/** The part of a snapshot that is here. */
export interface Holding {
  /** The snapshot. */
  readonly manifest: SnapshotManifest;
  /** True if all of it is here. */
  readonly complete: boolean;
  /** The chunks that are here. */
  readonly held: ChunkSet;
  /** The chunks that are on their way, or here; absent if none is on its way. */
  readonly expected?: ChunkSet;
}

/**
 * The part of a snapshot that is here, also of one that is being received.
 *
 * @throws {SnapshotError} `NOT_FOUND`
 */
export function heldOf(storage: SnapshotStorage, leases: DownloadLeases, which: Selector): Promise<Holding> {
  return hereOrComing<Holding>(storage, which, async () => {
    const manifest = await leases.renew(which);
    return { manifest, complete: true, held: allChunks(manifest.content.count) };
  }, (install) => ({
    manifest: install.manifest,
    complete: false,
    held: install.held(),
    expected: install.expected(),
  }));
}

/** A part of a snapshot whose size is not known now. */
export type PartlyKnown = Omit<Holding, "held"> & Partial<Pick<Holding, "held">>;

/**
 * As {@linkcode heldOf}; also for a snapshot of which an interrupted install was left. What that has is not searched:
 * it would take the place of installs, and reading changes nothing.
 *
 * @throws {SnapshotError} `NOT_FOUND`
 */
export async function statusOf(
  storage: SnapshotStorage,
  leases: DownloadLeases,
  which: Selector,
): Promise<PartlyKnown> {
  try {
    return await heldOf(storage, leases, which);
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
    const manifest = (await storage.unfinished()).find((left) => isMeant(left, which));
    if (manifest === undefined) throw error;
    return { manifest, complete: false };
  }
}

/**
 * The chunks of a snapshot that need not be sent: those that an interrupted install left, those that other snapshots
 * have, and all but one of identical chunks.
 *
 * @throws {SnapshotError} `STALE`, `BUSY` …
 */
export async function notWanted(storage: SnapshotStorage, manifest: SnapshotManifest): Promise<ChunkSet> {
  const install = await storage.install(manifest);
  try {
    await install.prepare();
    const { content } = manifest;
    const held = new ChunkSet(content.count);
    let next = 0;
    for (const { first, end } of install.missing()) {
      while (next < first) held.add(next++);
      next = end;
    }
    while (next < content.count) held.add(next++);
    return held;
  } finally {
    await install.close();
  }
}

function hasRange(install: SnapshotInstall, start: number, end: number): boolean {
  const { content } = install.manifest;
  for (let i = content.at(start); i < content.count && content.offset(i) < end; i++) {
    if (!install.has(i)) return false;
  }
  return true;
}

function allChunks(count: number): ChunkSet {
  const all = new ChunkSet(count);
  for (let i = 0; i < count; i++) all.add(i);
  return all;
}

function isMeant(manifest: SnapshotManifest, { index, digest }: Selector): boolean {
  return digest !== undefined ? toHex(manifest.digest) === digest : index !== undefined && manifest.index === index;
}
