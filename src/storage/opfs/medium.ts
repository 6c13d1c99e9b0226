/**
 * Snapshots in OPFS, which can neither rename a directory nor link a file.
 *
 * ```text
 * places/<id>/<SHA-256 of a file's name>.<data id>     an empty file: its name says where the content is
 * places/<id>/install-1000-1a2b3c4d                    the manifest, if this is being received
 * places/<id>/snapshot_00000000000000001000            the manifest, if this is a snapshot: written last
 * places/<id>/corrupt-1000-…                           empty: it was found bad, and is kept for a person
 * data/<data id>/0, 1, …                               the content, in segments of 2 MiB
 * ```
 *
 * The manifests equal the `__raft_snapshot_meta` of the directory storage, byte for byte. A place without any of the
 * three was left by a crash, and so was content that no place names. Names are hashed, since a name in a snapshot may
 * be longer than that of a file, and differ from another in case only.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { equal } from "../../stream/mod.ts";
import {
  corruptDirectory,
  indexOfDirectory,
  installDirectory,
  isInstall,
  quarantinedAs,
  snapshotDirectory,
  TEMP,
} from "../layout.ts";
import type { Medium, QuarantinedPlace, ReceivedSnapshot, StoredSnapshot } from "../medium.ts";
import { inOpfs, namesInOpfs, type OpfsDirectory, removeOpfsEntry } from "../../opfs/mod.ts";
import { OpfsPlace, type PlaceDirectory } from "./place.ts";
import { OpfsRoot } from "./root.ts";

/** The snapshots in a root. Everything but file contents is known in memory: no other process changes it. */
export class OpfsMedium implements Medium {
  readonly temp: OpfsPlace;
  readonly #root: OpfsRoot;
  /** The places of snapshots and installs, bad ones too; some may not be there any more. */
  readonly #places = new Set<OpfsPlace>();

  private constructor(root: OpfsRoot) {
    this.#root = root;
    this.temp = new OpfsPlace(TEMP, root);
  }

  /**
   * Opens a root: reads its places, and removes what a crash left, and old installs.
   *
   * @param root the directory
   * @param path for messages
   * @param unlock gives the lock back; absent to read only, which changes nothing
   * @param keepInstalls how old an install may be, in milliseconds
   * @param warn told of what cannot be looked at, or removed, now: it stays
   */
  static async open(
    root: OpfsDirectory,
    path: string,
    unlock: (() => Promise<void>) | undefined,
    keepInstalls: number,
    warn: (error: SnapshotError) => void,
  ): Promise<OpfsMedium> {
    const how = { create: unlock !== undefined };
    const [places, data] = await inOpfs(
      unlock === undefined ? "open" : "make",
      path,
      () => Promise.all([root.getDirectoryHandle("places", how), root.getDirectoryHandle("data", how)]),
    );
    const opened = new OpfsRoot(path, places, data, unlock);
    const medium = new OpfsMedium(opened);
    const unlessItFails = async (work: () => Promise<void>) => {
      try {
        await work();
        return true;
      } catch (error) {
        if (!(error instanceof SnapshotError)) throw error;
        warn(error);
        return false;
      }
    };
    for (const id of await namesInOpfs(places, `${path}/places`)) {
      if (!await unlessItFails(async () => medium.#enter(await OpfsPlace.find(opened, id)))) {
        opened.isPartlyKnown = true;
      }
    }
    if (unlock === undefined) return medium;
    for (const place of medium.#places) await unlessItFails(() => sweep(place, keepInstalls));
    await unlessItFails(async () => await opened.removeUnused(await opened.contents.list()));
    return medium;
  }

  /** Enters a place that was found. An install goes by its name, unless another has that already. */
  #enter(found: PlaceDirectory): void {
    const { id, marker = "", bad } = found;
    const isNamed = bad === undefined && isInstall(marker) && this.#at(marker) === undefined;
    this.#places.add(new OpfsPlace(isNamed ? marker : id, this.#root, found));
  }

  /** The place of a name, if it is there and not bad. */
  #at(name: string): OpfsPlace | undefined {
    return [...this.#good()].find((place) => place.name === name);
  }

  *#good(): Generator<OpfsPlace, void, undefined> {
    for (const place of this.#places) if (place.found !== undefined && place.found.bad === undefined) yield place;
  }

  /** The places of snapshots, and the indices in their names. */
  snapshots(): [place: OpfsPlace, index: bigint][] {
    return [...this.#good()].flatMap((place) => {
      const index = indexOfDirectory(place.here.marker ?? "");
      return index === undefined ? [] : [[place, index]];
    });
  }

  /** Whether a place is not there any more: its owner has removed it. */
  async isGone(place: OpfsPlace): Promise<boolean> {
    return !(await namesInOpfs(this.#root.places, `${this.#root.path}/places`)).includes(place.here.id);
  }

  installPlace(manifest: SnapshotManifest): OpfsPlace {
    for (const place of this.#places) if (place.found === undefined) this.#places.delete(place);
    const name = installDirectory(manifest.index, manifest.digest);
    const place = this.#at(name) ?? new OpfsPlace(name, this.#root);
    this.#places.add(place);
    return place;
  }

  async installs(): Promise<ReceivedSnapshot[]> {
    const found: ReceivedSnapshot[] = [];
    for (const place of [...this.#good()]) {
      if (!isInstall(place.name) || place.here.marker === undefined) continue;
      try {
        found.push({ place, manifest: await place.manifest() });
      } catch (error) {
        // Damage or a read error: the install is in nobody's way, and is swept when it is old.
        if (!(error instanceof SnapshotError)) throw error;
      }
    }
    return found;
  }

  async publish(place: OpfsPlace, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    this.#root.checkWritable();
    const { index } = manifest;
    const { here } = place;
    const marker = snapshotDirectory(index);
    if ([...this.#good()].some((other) => other.here.marker === marker)) {
      const message = `Snapshot ${index} of ${this.#root.path} is there already: nothing is written over it`;
      throw new SnapshotError("BUSY", message, { index });
    }
    const before = here.marker;
    const size = await place.checkSizes(manifest);
    try {
      await place.writeManifest(marker, manifest);
      here.marker = marker;
      const written = await place.manifest();
      if (!equal(written.bytes, manifest.bytes)) {
        const message = `The manifest of snapshot ${index} reads otherwise than it was written`;
        throw new SnapshotError("CORRUPT", message, { index });
      }
    } catch (error) {
      // An unacknowledged snapshot must not be found later, nor be in the way of the next attempt.
      if (before === undefined) delete here.marker;
      else here.marker = before;
      await place.removeMarker(marker).catch(() => {});
      throw error;
    }
    const published = new OpfsPlace(here.id, this.#root, place.take());
    this.#places.add(published);
    // Without meaning beside the marker of the snapshot.
    if (before !== undefined) await published.removeMarker(before).catch(() => {});
    return { place: published, manifest, size };
  }

  async inspect(place: OpfsPlace, index: bigint): Promise<StoredSnapshot> {
    const manifest = await place.manifest();
    if (manifest.index === index) return { place, manifest, size: await place.checkSizes(manifest) };
    const message = `${place.path} is called ${index}, and its manifest says ${manifest.index}`;
    throw new SnapshotError("CORRUPT", message, { index, expected: index, actual: manifest.index });
  }

  async quarantine(place: OpfsPlace, index: bigint): Promise<void> {
    this.#root.checkWritable();
    const { here, path } = place;
    const bad = corruptDirectory(index);
    await inOpfs("quarantine", path, () => here.directory.getFileHandle(bad, { create: true }));
    here.bad = bad;
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    return [...this.#places].flatMap((place) => {
      const { bad, marker } = place.found ?? {};
      const said = bad === undefined ? undefined : quarantinedAs(bad);
      return said === undefined || indexOfDirectory(marker ?? "") !== said.index ? [] : [{ place, ...said }];
    });
  }

  async restore(place: OpfsPlace, index: bigint): Promise<StoredSnapshot> {
    this.#root.checkWritable();
    const { here, path } = place;
    const stored = await this.inspect(place, index);
    await removeOpfsEntry(here.directory, here.bad!, path);
    delete here.bad;
    return stored;
  }

  async close(): Promise<void> {
    this.#places.clear();
    await this.#root.close();
  }
}

/** Removes a place that is neither a snapshot, nor bad, nor a recent install. */
async function sweep(place: OpfsPlace, keepInstalls: number): Promise<void> {
  const { bad, marker = "" } = place.here;
  if (bad !== undefined || indexOfDirectory(marker) !== undefined) return;
  if (marker === place.name && Date.now() - await place.lastChange() <= keepInstalls) return;
  await place.remove();
}
