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

import { hasCode, SnapshotError } from "../../errors.ts";
import { inOpfs, namesInOpfs, type OpfsDirectory, removeOpfsEntry } from "../../opfs/mod.ts";
import { checkName, type FileInfo, MAX_MANIFEST_BYTES, type SnapshotManifest } from "../../snapshot/mod.ts";
import { InFlight } from "../../async/mod.ts";
import { equal, sha256, toHex } from "../../stream/mod.ts";
import { decodeManifest } from "../evidence.ts";
import {
  corruptDirectory,
  indexOfDirectory,
  installDirectory,
  isInstall,
  quarantinedAs,
  snapshotDirectory,
  TEMP,
} from "../layout.ts";
import type { Medium, MediumFile, PlacedSnapshot, QuarantinedPlace, StoredSnapshot } from "../medium.ts";
import { OpfsContents } from "./contents.ts";
import { replace } from "./segment.ts";
import { missing } from "../reader.ts";

/** The number of files that are checked at the same time. */
const LOOKS_IN_FLIGHT = 8;

/** A place. */
interface Place {
  readonly id: string;
  readonly directory: OpfsDirectory;
  /** The ids of the contents of the files, by the hashes of the files' names. */
  readonly files: Map<string, string>;
  /** The name of its manifest, which tells whether it is an install or a snapshot. */
  marker?: string;
  /** The name of the file that marks it as found bad. */
  bad?: string;
}

/** The root of an OPFS storage. Everything but file contents is known in memory: no other process changes it. */
export class OpfsMedium implements Medium {
  readonly temp: string = TEMP;
  readonly #path: string;
  readonly #places: OpfsDirectory;
  readonly #contents: OpfsContents;
  /** Gives the lock back; absent if this was opened for reading only. */
  readonly #unlock: (() => Promise<void>) | undefined;
  /** The places by the names that the storage uses. */
  readonly #placed = new Map<string, Place>();
  /** The places that were found bad, by their ids. */
  readonly #bad = new Map<string, Place>();
  /** True if some places could not be read: then content that seems unused may be used. */
  #isPartlyKnown = false;
  #closed = false;

  private constructor(
    path: string,
    places: OpfsDirectory,
    data: OpfsDirectory,
    unlock: (() => Promise<void>) | undefined,
  ) {
    this.#path = path;
    this.#places = places;
    this.#contents = new OpfsContents(data, `${path}/data`);
    this.#unlock = unlock;
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
    const medium = new OpfsMedium(path, places, data, unlock);
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
      if (!await unlessItFails(() => medium.#find(id))) medium.#isPartlyKnown = true;
    }
    if (unlock === undefined) return medium;
    for (const [name, place] of [...medium.#placed]) {
      await unlessItFails(() => medium.#sweep(name, place, keepInstalls));
    }
    await unlessItFails(async () => await medium.#removeUnused(await medium.#contents.list()));
    return medium;
  }

  /** The places of snapshots, and the indices in their names. */
  snapshots(): [place: string, index: bigint][] {
    return [...this.#placed].flatMap(([name, { marker }]) => {
      const index = indexOfDirectory(marker ?? "");
      return index === undefined ? [] : [[name, index]];
    });
  }

  /** Whether a place is not there any more: its owner has removed it. */
  async isGone(name: string): Promise<boolean> {
    const id = this.#placed.get(name)?.id ?? name;
    return !(await namesInOpfs(this.#places, `${this.#path}/places`)).includes(id);
  }

  installPlace(manifest: SnapshotManifest): string {
    return installDirectory(manifest.index, manifest.digest);
  }

  async installs(): Promise<PlacedSnapshot[]> {
    const found: PlacedSnapshot[] = [];
    for (const [name, place] of this.#placed) {
      if (!isInstall(name) || place.marker === undefined) continue;
      try {
        found.push({ place: name, manifest: await this.#readManifest(place) });
      } catch (error) {
        // Damage or a read error: the install is in nobody's way, and is swept when it is old.
        if (!(error instanceof SnapshotError)) throw error;
      }
    }
    return found;
  }

  async clear(place: string): Promise<void> {
    this.#checkWritable();
    await this.remove(place);
    const id = crypto.randomUUID();
    const directory = await inOpfs(
      "make",
      this.#pathOf(id),
      () => this.#places.getDirectoryHandle(id, { create: true }),
    );
    this.#checkOpen();
    this.#placed.set(place, { id, directory, files: new Map() });
  }

  async describe(name: string, manifest: SnapshotManifest): Promise<void> {
    this.#checkWritable();
    const place = this.#place(name);
    await this.#writeManifest(place, name, manifest);
    place.marker = name;
  }

  async open(name: string, file: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    if (mode !== "read") this.#checkWritable();
    const hash = await hashOf(file);
    const place = this.#place(name);
    if (mode === "create") {
      if (place.files.has(hash)) {
        throw new SnapshotError("BUSY", `${this.#pathOf(place.id)} has a file ${JSON.stringify(file)} already`, {
          file,
        });
      }
      await this.#enter(place, hash, await this.#contents.create());
    }
    const data = place.files.get(hash);
    if (data === undefined) throw notFound(file);
    const opened = await this.#contents.open(data);
    return mode === "read"
      ? { ...opened, reread: (buffer, position) => this.#reread(data, file, buffer, position) }
      : opened;
  }

  /** Reads again through a new handle. */
  async #reread(data: string, name: string, buffer: Uint8Array, position: number): Promise<number> {
    try {
      const file = await this.#contents.look(data);
      const length = await file.read(buffer, position);
      if (length === buffer.length || !await file.lacks(position + buffer.length)) return length;
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(name, error) : error;
    }
    throw missing(name, undefined); // a segment is missing
  }

  async link(from: string, to: string, name: string, as: string): Promise<boolean> {
    this.#checkWritable();
    const [hash, hashAs] = [await hashOf(name), await hashOf(as)];
    const data = this.#place(from).files.get(hash);
    if (data === undefined) throw notFound(name);
    await this.#enter(this.#place(to), hashAs, data);
    return true;
  }

  async unlink(name: string, file: string): Promise<void> {
    this.#checkWritable();
    const hash = await hashOf(file);
    const place = this.#place(name);
    const data = place.files.get(hash);
    if (data === undefined) return;
    await removeOpfsEntry(place.directory, `${hash}.${data}`, this.#pathOf(place.id));
    place.files.delete(hash);
    await this.#removeUnused([data]);
  }

  async publish(name: string, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    this.#checkWritable();
    const { index } = manifest;
    const place = this.#place(name);
    const marker = snapshotDirectory(index);
    if ([...this.#placed.values()].some((other) => other.marker === marker)) {
      throw new SnapshotError(
        "BUSY",
        `Snapshot ${index} of ${this.#path} is there already: nothing is written over it`,
        {
          index,
        },
      );
    }
    const before = place.marker;
    const size = await this.#checkSizes(place, manifest);
    try {
      await this.#writeManifest(place, marker, manifest);
      place.marker = marker;
      const written = await this.#readManifest(place);
      if (!equal(written.bytes, manifest.bytes)) {
        throw new SnapshotError("CORRUPT", `The manifest of snapshot ${index} reads otherwise than it was written`, {
          index,
        });
      }
    } catch (error) {
      // An unacknowledged snapshot must not be found later, nor be in the way of the next attempt.
      if (before === undefined) delete place.marker;
      else place.marker = before;
      await removeOpfsEntry(place.directory, marker, this.#pathOf(place.id)).catch(() => {});
      throw error;
    }
    this.#placed.delete(name);
    this.#placed.set(place.id, place);
    if (before !== undefined) {
      // Without meaning beside the marker of the snapshot.
      await removeOpfsEntry(place.directory, before, this.#pathOf(place.id)).catch(() => {});
    }
    return { place: place.id, manifest, size };
  }

  async inspect(name: string, index: bigint): Promise<StoredSnapshot> {
    const place = this.#place(name);
    const manifest = await this.#readManifest(place);
    if (manifest.index !== index) {
      throw new SnapshotError(
        "CORRUPT",
        `${this.#pathOf(place.id)} is called ${index}, and its manifest says ${manifest.index}`,
        { actual: manifest.index, index, expected: index },
      );
    }
    return { place: name, manifest, size: await this.#checkSizes(place, manifest) };
  }

  async remove(name: string): Promise<void> {
    this.#checkWritable();
    const place = this.#placed.get(name) ?? this.#bad.get(name);
    if (place === undefined) return;
    const path = this.#pathOf(place.id);
    // The marker goes first, and content that no other place uses goes last: as long as the place is there, its content
    // is used.
    if (place.marker !== undefined) await removeOpfsEntry(place.directory, place.marker, path);
    delete place.marker;
    await removeOpfsEntry(this.#places, place.id, path);
    this.#placed.delete(name);
    this.#bad.delete(name);
    await this.#removeUnused([...place.files.values()]);
  }

  async quarantine(name: string, index: bigint): Promise<void> {
    this.#checkWritable();
    const place = this.#place(name);
    const bad = corruptDirectory(index);
    await inOpfs("quarantine", this.#pathOf(place.id), () => place.directory.getFileHandle(bad, { create: true }));
    place.bad = bad;
    this.#placed.delete(name);
    this.#bad.set(place.id, place);
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    return [...this.#bad.values()].flatMap(({ id, bad, marker }) => {
      const said = quarantinedAs(bad!);
      return said === undefined || indexOfDirectory(marker ?? "") !== said.index ? [] : [{ place: id, ...said }];
    });
  }

  async restore(name: string, index: bigint): Promise<StoredSnapshot> {
    this.#checkWritable();
    const place = this.#place(name);
    const stored = await this.inspect(name, index);
    await removeOpfsEntry(place.directory, place.bad!, this.#pathOf(place.id));
    delete place.bad;
    this.#bad.delete(name);
    this.#placed.set(name, place);
    return stored;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#placed.clear();
    await this.#unlock?.();
  }

  /** Reads the names in a place; one that is none of the three has no marker. */
  async #find(id: string): Promise<void> {
    const directory = await inOpfs("open", this.#pathOf(id), () => this.#places.getDirectoryHandle(id));
    const place: Place = { id, directory, files: new Map() };
    let [install, snapshot]: [string?, string?] = [];
    for (const name of await namesInOpfs(directory, this.#pathOf(id))) {
      const [, hash, data] = /^([0-9a-f]{64})\.([0-9a-f-]{36})$/.exec(name) ?? [];
      if (hash !== undefined) place.files.set(hash, data!);
      else if (/^corrupt-/.test(name)) place.bad = name;
      else if (isInstall(name) && await this.#isWritten(place, name)) install = name;
      else if (indexOfDirectory(name) !== undefined && await this.#isWritten(place, name)) snapshot = name;
    }
    const marker = snapshot ?? install;
    if (marker !== undefined) place.marker = marker;
    if (place.bad !== undefined) return void this.#bad.set(id, place);
    const name = marker === install && marker !== undefined && !this.#placed.has(marker) ? marker : id;
    this.#placed.set(name, place);
  }

  /** Reports whether a file has content: it is there, but empty, before it is written. */
  async #isWritten(place: Place, name: string): Promise<boolean> {
    return await inOpfs("look at", `${this.#pathOf(place.id)}/${name}`, async () => {
      return (await (await place.directory.getFileHandle(name)).getFile()).size > 0;
    });
  }

  /** Removes a place that is neither a snapshot nor a recent install. */
  async #sweep(name: string, place: Place, keepInstalls: number): Promise<void> {
    const isSnapshot = indexOfDirectory(place.marker ?? "") !== undefined;
    if (isSnapshot || place.marker === name && Date.now() - await this.#lastChange(place) <= keepInstalls) return;
    await this.remove(name);
  }

  /** Returns the time of the last change in an install. */
  async #lastChange(place: Place): Promise<number> {
    let last = await inOpfs("look at", this.#pathOf(place.id), async () => {
      return (await (await place.directory.getFileHandle(place.marker!)).getFile()).lastModified;
    });
    for (const data of place.files.values()) {
      try {
        const file = await this.#contents.look(data);
        await file.tidy();
        last = Math.max(last, await file.lastChange());
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND")) throw error; // it is found missing when the install is resumed
      }
    }
    return last;
  }

  async #checkSizes(place: Place, manifest: SnapshotManifest): Promise<number> {
    const looking = new InFlight<number>();
    let size = 0;
    try {
      for (const file of manifest.files) {
        looking.add(this.#checkSize(place, file, manifest.index));
        if (looking.size >= LOOKS_IN_FLIGHT) size += await looking.next();
      }
      while (looking.size > 0) size += await looking.next();
    } finally {
      await looking.settled();
    }
    return size;
  }

  /** Checks that a file is there and has its size. */
  async #checkSize(place: Place, { name, chunks, source }: FileInfo, index: bigint): Promise<number> {
    const data = place.files.get(await hashOf(name));
    if (data === undefined && source === "reference" && chunks === undefined) return 0;
    const wrong = (what: string) =>
      new SnapshotError("CORRUPT", `${JSON.stringify(name)} in ${this.#pathOf(place.id)} ${what}`, {
        file: name,
        index,
        ...(chunks !== undefined && { expected: chunks.size }),
      });
    if (data === undefined) throw missing(`${name} in ${this.#pathOf(place.id)}`, undefined);
    try {
      const file = await this.#contents.look(data);
      if (chunks === undefined) return await file.size();
      if (await file.lacks(chunks.size)) throw missing(`${name} in ${this.#pathOf(place.id)}`, undefined);
      if (!await file.hasSize(chunks.size)) throw wrong(`has ${await file.size()} bytes, not ${chunks.size}, or a gap`);
      return chunks.size;
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(`${name} in ${this.#pathOf(place.id)}`, error) : error;
    }
  }

  async #writeManifest(place: Place, marker: string, manifest: SnapshotManifest): Promise<void> {
    await inOpfs("write", `${this.#pathOf(place.id)}/${marker}`, async () => {
      const handle = await place.directory.getFileHandle(marker, { create: true });
      await replace(handle, manifest.framed);
    });
  }

  async #readManifest(place: Place): Promise<SnapshotManifest> {
    const path = `${this.#pathOf(place.id)}/${place.marker}`;
    const bytes = await inOpfs("read", path, async () => {
      const file = await this.#manifestFile(place, path);
      if (file.size <= MAX_MANIFEST_BYTES + 4) return new Uint8Array(await file.arrayBuffer());
      throw new SnapshotError("MALFORMED", `${path} has ${file.size} bytes, too many for a manifest`, {
        file: path,
        actual: file.size,
      });
    });
    return await decodeManifest(bytes, path);
  }

  /** Returns the file with the manifest. If it is not there, the disk may be away: `UNAVAILABLE`. */
  async #manifestFile(place: Place, path: string): Promise<Blob> {
    try {
      return await inOpfs(
        "open",
        path,
        async () => await (await place.directory.getFileHandle(place.marker!)).getFile(),
      );
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(path, error) : error;
    }
  }

  /** Enters the content of a file in a place, in memory first: from then on it counts as used. */
  async #enter(place: Place, hash: string, data: string): Promise<void> {
    place.files.set(hash, data);
    try {
      await inOpfs(
        "create",
        this.#pathOf(place.id),
        () => place.directory.getFileHandle(`${hash}.${data}`, { create: true }),
      );
    } catch (error) {
      place.files.delete(hash);
      throw error;
    }
  }

  /** Removes the content that no place names. */
  async #removeUnused(data: readonly string[]): Promise<void> {
    if (this.#isPartlyKnown) return;
    const used = new Set([...this.#placed.values(), ...this.#bad.values()].flatMap(({ files }) => [...files.values()]));
    for (const id of data) if (!used.has(id)) await this.#contents.remove(id);
  }

  #place(name: string): Place {
    this.#checkOpen();
    const found = this.#placed.get(name) ?? this.#bad.get(name);
    if (found !== undefined) return found;
    throw new SnapshotError("NOT_FOUND", `There is no ${name} in ${this.#path} any more`);
  }

  #checkWritable(): void {
    if (this.#unlock !== undefined) return;
    throw new SnapshotError("FORBIDDEN", `${this.#path} was opened for reading only`);
  }

  #checkOpen(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", "The storage was closed");
  }

  #pathOf(id: string): string {
    return `${this.#path}/places/${id}`;
  }
}

async function hashOf(name: string): Promise<string> {
  return toHex(await sha256(new TextEncoder().encode(checkName(name))));
}

function notFound(name: string): SnapshotError {
  return new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(name)}`, { file: name });
}
