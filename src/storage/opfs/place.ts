/**
 * A place of an OPFS storage: the files of a snapshot.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { mapAhead } from "../../async/mod.ts";
import { checkName, type FileInfo, MAX_MANIFEST_BYTES, type SnapshotManifest } from "../../snapshot/mod.ts";
import { sha256, toHex } from "../../stream/mod.ts";
import { decodeManifest } from "../evidence.ts";
import { indexOfDirectory, isInstall } from "../layout.ts";
import type { MediumFile, Place } from "../medium.ts";
import { missing } from "../reader.ts";
import { inOpfs, namesInOpfs, type OpfsDirectory, removeOpfsEntry } from "../../opfs/mod.ts";
import type { OpfsRoot } from "./root.ts";
import { replace } from "./segment.ts";

/** The number of files that are checked at the same time. */
const LOOKS_IN_FLIGHT = 8;

/** The directory of a place, as far as it is known in memory: all but the contents of its files. */
export interface PlaceDirectory {
  readonly id: string;
  readonly directory: OpfsDirectory;
  /** The ids of the contents of the files, by the hashes of the files' names. */
  readonly files: Map<string, string>;
  /** The name of its manifest, which tells whether it is an install or a snapshot. */
  marker?: string;
  /** The name of the file that marks it as found bad. */
  bad?: string;
}

/** A place. It may not be there yet, or not any more. */
export class OpfsPlace implements Place {
  readonly name: string;
  readonly #root: OpfsRoot;
  #found: PlaceDirectory | undefined;

  /**
   * @param name the name that the storage knows it by
   * @param root the root
   * @param found its directory, if it is there
   */
  constructor(name: string, root: OpfsRoot, found?: PlaceDirectory) {
    this.name = name;
    this.#root = root;
    this.#found = found;
    if (found !== undefined) root.used.add(found.files);
  }

  /** Reads the names in the directory of a place; one that is neither install nor snapshot has no marker. */
  static async find(root: OpfsRoot, id: string): Promise<PlaceDirectory> {
    const path = root.pathOf(id);
    const directory = await inOpfs("open", path, () => root.places.getDirectoryHandle(id));
    const found: PlaceDirectory = { id, directory, files: new Map() };
    let [install, snapshot]: [string?, string?] = [];
    for (const name of await namesInOpfs(directory, path)) {
      const [, hash, data] = /^([0-9a-f]{64})\.([0-9a-f-]{36})$/.exec(name) ?? [];
      if (hash !== undefined) found.files.set(hash, data!);
      else if (/^corrupt-/.test(name)) found.bad = name;
      else if (isInstall(name) && await isWritten(directory, name, path)) install = name;
      else if (indexOfDirectory(name) !== undefined && await isWritten(directory, name, path)) snapshot = name;
    }
    const marker = snapshot ?? install;
    if (marker !== undefined) found.marker = marker;
    return found;
  }

  /** Its directory, if it is there. */
  get found(): PlaceDirectory | undefined {
    return this.#found;
  }

  /** Its directory. */
  get here(): PlaceDirectory {
    this.#root.checkOpen();
    if (this.#found !== undefined) return this.#found;
    throw new SnapshotError("NOT_FOUND", `There is no ${this.name} in ${this.#root.path} any more`);
  }

  /** Its path, for messages. */
  get path(): string {
    return this.#root.pathOf(this.#found?.id ?? this.name);
  }

  /** Gives its directory away. */
  take(): PlaceDirectory {
    const { here } = this;
    this.#root.used.delete(here.files);
    this.#found = undefined;
    return here;
  }

  async clear(): Promise<void> {
    this.#root.checkWritable();
    await this.remove();
    const id = crypto.randomUUID();
    const { places } = this.#root;
    const making = () => places.getDirectoryHandle(id, { create: true });
    const directory = await inOpfs("make", this.#root.pathOf(id), making);
    this.#root.checkOpen();
    this.#found = { id, directory, files: new Map() };
    this.#root.used.add(this.#found.files);
  }

  async describe(manifest: SnapshotManifest): Promise<void> {
    this.#root.checkWritable();
    const { here } = this;
    await this.writeManifest(this.name, manifest);
    here.marker = this.name;
  }

  async open(name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    if (mode !== "read") this.#root.checkWritable();
    const hash = await hashOf(name);
    const { here } = this;
    if (mode === "create") {
      if (here.files.has(hash)) {
        const message = `${this.path} has a file ${JSON.stringify(name)} already`;
        throw new SnapshotError("BUSY", message, { file: name });
      }
      await this.#enter(here, hash, await this.#root.contents.create());
    }
    const data = here.files.get(hash);
    if (data === undefined) throw notFound(name);
    const opened = await this.#root.contents.open(data);
    return mode === "read"
      ? { ...opened, reread: (buffer, position) => this.#reread(data, name, buffer, position) }
      : opened;
  }

  /** Reads again through a new handle. */
  async #reread(data: string, name: string, buffer: Uint8Array, position: number): Promise<number> {
    try {
      const file = await this.#root.contents.look(data);
      const length = await file.read(buffer, position);
      if (length === buffer.length || !await file.lacks(position + buffer.length)) return length;
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(name, error) : error;
    }
    throw missing(name, undefined); // a segment is missing
  }

  async link(from: OpfsPlace, name: string, as: string): Promise<boolean> {
    this.#root.checkWritable();
    const [hash, hashAs] = [await hashOf(name), await hashOf(as)];
    const data = from.here.files.get(hash);
    if (data === undefined) throw notFound(name);
    await this.#enter(this.here, hashAs, data);
    return true;
  }

  /** Enters the content of a file, in memory first: from then on it counts as used. */
  async #enter({ directory, files }: PlaceDirectory, hash: string, data: string): Promise<void> {
    files.set(hash, data);
    try {
      await inOpfs("create", this.path, () => directory.getFileHandle(`${hash}.${data}`, { create: true }));
    } catch (error) {
      files.delete(hash);
      throw error;
    }
  }

  async unlink(name: string): Promise<void> {
    this.#root.checkWritable();
    const hash = await hashOf(name);
    const { directory, files } = this.here;
    const data = files.get(hash);
    if (data === undefined) return;
    await removeOpfsEntry(directory, `${hash}.${data}`, this.path);
    files.delete(hash);
    await this.#root.removeUnused([data]);
  }

  async remove(): Promise<void> {
    this.#root.checkWritable();
    const found = this.#found;
    if (found === undefined) return;
    const { id, directory, files, marker } = found;
    const { path } = this;
    // The marker goes first, and content that no other place uses goes last: as long as the place is there, its content
    // is used.
    if (marker !== undefined) await removeOpfsEntry(directory, marker, path);
    delete found.marker;
    await removeOpfsEntry(this.#root.places, id, path);
    this.#root.used.delete(files);
    if (this.#found === found) this.#found = undefined;
    await this.#root.removeUnused([...files.values()]);
  }

  /** Writes a manifest under a name of its own: its marker, once it counts. */
  async writeManifest(marker: string, manifest: SnapshotManifest): Promise<void> {
    const { directory } = this.here;
    await inOpfs("write", `${this.path}/${marker}`, async () => {
      await replace(await directory.getFileHandle(marker, { create: true }), manifest.framed);
    });
  }

  /** Reads its manifest. */
  async manifest(): Promise<SnapshotManifest> {
    const { directory, marker } = this.here;
    const path = `${this.path}/${marker}`;
    const bytes = await inOpfs("read", path, async () => {
      const file = await manifestFile(directory, marker!, path);
      if (file.size <= MAX_MANIFEST_BYTES + 4) return new Uint8Array(await file.arrayBuffer());
      throw new SnapshotError("MALFORMED", `${path} has ${file.size} bytes, too many for a manifest`, {
        file: path,
        actual: file.size,
      });
    });
    return await decodeManifest(bytes, path);
  }

  /** Removes what its manifest was called before, or was to be called. */
  async removeMarker(marker: string): Promise<void> {
    await removeOpfsEntry(this.here.directory, marker, this.path);
  }

  /** Checks that all files are there and have their sizes. Returns the sum. */
  async checkSizes({ files, index }: SnapshotManifest): Promise<number> {
    let size = 0;
    for await (const one of mapAhead(files, LOOKS_IN_FLIGHT, (file) => this.#checkSize(file, index))) size += one;
    return size;
  }

  async #checkSize({ name, chunks, source }: FileInfo, index: bigint): Promise<number> {
    const data = this.here.files.get(await hashOf(name));
    if (data === undefined && source === "reference" && chunks === undefined) return 0;
    const what = `${name} in ${this.path}`;
    if (data === undefined) throw missing(what, undefined);
    try {
      const file = await this.#root.contents.look(data);
      if (chunks === undefined) return await file.size();
      if (await file.lacks(chunks.size)) throw missing(what, undefined);
      if (await file.hasSize(chunks.size)) return chunks.size;
      const message =
        `${JSON.stringify(name)} in ${this.path} has ${await file.size()} bytes, not ${chunks.size}, or ` +
        `a gap`;
      throw new SnapshotError("CORRUPT", message, { file: name, index, expected: chunks.size });
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(what, error) : error;
    }
  }

  /** Returns the time of the last change in an install. */
  async lastChange(): Promise<number> {
    const { directory, files, marker } = this.here;
    let last = await inOpfs("look at", this.path, async () => {
      return (await (await directory.getFileHandle(marker!)).getFile()).lastModified;
    });
    for (const data of files.values()) {
      try {
        const file = await this.#root.contents.look(data);
        await file.tidy();
        last = Math.max(last, await file.lastChange());
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND")) throw error; // it is found missing when the install is resumed
      }
    }
    return last;
  }
}

/** Reports whether a file has content: it is there, but empty, before it is written. */
async function isWritten(directory: OpfsDirectory, name: string, path: string): Promise<boolean> {
  return await inOpfs("look at", `${path}/${name}`, async () => {
    return (await (await directory.getFileHandle(name)).getFile()).size > 0;
  });
}

/** Returns the file with the manifest. If it is not there, the disk may be away: `UNAVAILABLE`. */
async function manifestFile(directory: OpfsDirectory, marker: string, path: string): Promise<Blob> {
  try {
    return await inOpfs("open", path, async () => await (await directory.getFileHandle(marker)).getFile());
  } catch (error) {
    throw hasCode(error, "NOT_FOUND") ? missing(path, error) : error;
  }
}

async function hashOf(name: string): Promise<string> {
  return toHex(await sha256(new TextEncoder().encode(checkName(name))));
}

function notFound(name: string): SnapshotError {
  return new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(name)}`, { file: name });
}
