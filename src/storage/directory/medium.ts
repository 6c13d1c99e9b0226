/**
 * Snapshots in directories in the layout of braft, written so that no crash loses one.
 *
 * @module
 */

import { dirname } from "@std/path";
import { SnapshotError } from "../../errors.ts";
import { directoriesOf, type FileInfo, type SnapshotManifest, type SnapshotMeta } from "../../snapshot/mod.ts";
import { mapAhead } from "../../async/mod.ts";
import { equal } from "../../stream/mod.ts";
import { corruptDirectory, installDirectory, isInstall, quarantinedAs, snapshotDirectory, TEMP } from "../layout.ts";
import type { Medium, QuarantinedPlace, ReceivedSnapshot, StoredSnapshot } from "../medium.ts";
import { missing, unknownReference } from "../reader.ts";
import { MergedNames } from "./merged_names.ts";
import { DirectoryPlace } from "./place.ts";
import { type ReferenceResolver, unresolved } from "./references.ts";
import type { DirectoryRoot } from "./root.ts";

/** The number of files that are checked at the same time. */
const STATS_IN_FLIGHT = 16;

/**
 * The snapshots in a root. A commit checks once more before it is acknowledged that no other process has the root by
 * now.
 */
export class DirectoryMedium implements Medium {
  readonly temp: DirectoryPlace;
  readonly #root: DirectoryRoot;
  readonly #names: MergedNames;
  readonly #resolver: ReferenceResolver | undefined;

  /**
   * @param root the root, which is the medium's from now on
   * @param resolver knows where referenced files are
   */
  constructor(root: DirectoryRoot, resolver?: ReferenceResolver) {
    this.#root = root;
    this.#names = new MergedNames(root);
    this.#resolver = resolver;
    this.temp = this.at(TEMP);
  }

  /** The place of a name in the root. */
  at(name: string): DirectoryPlace {
    return new DirectoryPlace(name, this.#root, this.#names, this.#resolver);
  }

  installPlace(manifest: SnapshotManifest): DirectoryPlace {
    return this.at(installDirectory(manifest.index, manifest.digest));
  }

  async installs(): Promise<ReceivedSnapshot[]> {
    const found: ReceivedSnapshot[] = [];
    for (const { name, kind } of await this.#root.disk.list(this.#root.path)) {
      if (kind !== "directory" || !isInstall(name)) continue;
      const place = this.at(name);
      try {
        found.push({ place, manifest: await place.manifest() });
      } catch (error) {
        // A crash before the manifest was there, damage, or a read error: the install is in nobody's way, and is swept
        // when it is old.
        if (!(error instanceof SnapshotError)) throw error;
      }
    }
    return found;
  }

  async checkNames({ files }: SnapshotManifest): Promise<void> {
    await this.#names.check(files.map(({ name }) => name));
  }

  /** Writes the manifest, syncs, reads back, renames, syncs the root. Each file was synced and closed when complete. */
  async publish(place: DirectoryPlace, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    const { disk, sync, outside } = this.#root;
    await this.#root.checkOwned();
    const { index } = manifest;
    const final = this.at(snapshotDirectory(index));
    await this.#checkFree(final, index);
    await this.checkNames(manifest);
    await place.describe(manifest);
    if (sync.durability === "full") {
      const directories = new Set(manifest.files.flatMap(({ name }) => directoriesOf(name)));
      for (const directory of directories) {
        const path = place.path(directory);
        if (await disk.stat(path) !== undefined) await sync.sync(path); // else all in it is elsewhere
      }
      await sync.sync(place.path());
    }
    const written = await this.inspect(place, index);
    if (!equal(written.manifest.bytes, manifest.bytes)) {
      throw new SnapshotError("CORRUPT", `The manifest of snapshot ${index} reads otherwise than it was written`, {
        index,
      });
    }
    await this.#root.checkOwned();
    try {
      await disk.rename(place.path(), final.path());
      await this.#root.syncNames();
      if (place.name === TEMP && outside !== undefined) await sync.sync(dirname(outside));
    } catch (error) {
      // An unacknowledged snapshot must not be found later, nor be in the way of the next attempt. A disk that reports
      // an error may still have renamed it.
      await disk.rename(final.path(), place.path()).catch(() => {});
      throw error;
    }
    await this.#root.checkOwned(); // if another process has the lock now, the snapshot stays: all here is theirs
    return { ...written, place: final };
  }

  async #checkFree(final: DirectoryPlace, index: bigint): Promise<void> {
    if (await this.#root.disk.stat(final.path()) === undefined) return;
    throw new SnapshotError("BUSY", `${final.path()} is there already: nothing is written over it`, { index });
  }

  async inspect(place: DirectoryPlace, index: bigint): Promise<StoredSnapshot> {
    const manifest = await place.manifest();
    if (manifest.index !== index) {
      throw new SnapshotError(
        "CORRUPT",
        `${place.path()} is called ${index}, and its manifest says ${manifest.index}`,
        { index, expected: index, actual: manifest.index },
      );
    }
    const directories = new Set(manifest.files.flatMap(({ name }) => directoriesOf(name)));
    for (const directory of directories) await place.checkDirectory(directory, directory);
    let size = 0;
    for await (
      const one of mapAhead(manifest.files, STATS_IN_FLIGHT, (file) => this.#checkSize(place, file, manifest.meta))
    ) size += one;
    return { place, manifest, size };
  }

  /** Checks that a file is there and has its size. If it is not there, the disk may be away: `UNAVAILABLE`. */
  async #checkSize(place: DirectoryPlace, info: FileInfo, meta: SnapshotMeta): Promise<number> {
    const { name, chunks, source } = info;
    const { lastIncludedIndex: index } = meta;
    const path = place.path(name);
    const stat = await this.#root.disk.stat(path);
    if (stat === undefined && source === "reference") return await checkReference(place, info, meta);
    if (stat === undefined) throw missing(path, undefined);
    const wrong = stat.kind !== "file"
      ? "is not a regular file"
      : chunks !== undefined && stat.size !== chunks.size
      ? `has ${stat.size} bytes, not ${chunks.size}`
      : undefined;
    if (wrong === undefined) return stat.size;
    throw new SnapshotError("CORRUPT", `${path} ${wrong}`, {
      file: name,
      index,
      ...(chunks !== undefined && { expected: chunks.size }),
      actual: stat.size,
    });
  }

  async quarantine(place: DirectoryPlace, index: bigint): Promise<void> {
    if (this.#root.isReadOnly) return;
    await this.#root.checkOwned();
    await this.#root.disk.rename(place.path(), this.#root.at(corruptDirectory(index)));
    await this.#root.syncNames();
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    return (await this.#root.disk.list(this.#root.path)).flatMap(({ name, kind }) => {
      const said = kind === "directory" ? quarantinedAs(name) : undefined;
      return said === undefined ? [] : [{ place: this.at(name), ...said }];
    });
  }

  async restore(place: DirectoryPlace, index: bigint): Promise<StoredSnapshot> {
    await this.#root.checkOwned();
    const final = this.at(snapshotDirectory(index));
    await this.#checkFree(final, index);
    const stored = await this.inspect(place, index);
    await this.#root.disk.rename(place.path(), final.path());
    await this.#root.syncNames();
    return { ...stored, place: final };
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

/** Checks the size of what a snapshot refers to. Of braft's own, nobody need know where it is until it is read. */
async function checkReference(place: DirectoryPlace, info: FileInfo, meta: SnapshotMeta): Promise<number> {
  const { name, chunks } = info;
  if (place.reference === undefined) {
    if (chunks === undefined) return 0;
    throw missing(name, unknownReference(info, meta, undefined));
  }
  const file = await place.reference(info, meta);
  try {
    const size = await file.size();
    if (chunks === undefined || size === chunks.size) return size;
    throw unresolved(info, meta, `it has ${size} bytes, not ${chunks.size}`);
  } finally {
    await file.close();
  }
}
