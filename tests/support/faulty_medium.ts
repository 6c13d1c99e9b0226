// A medium in memory of which something goes wrong: bytes change, files and manifests cannot be read, are not there, or
// change each time.

import { SnapshotError, type SnapshotErrorCode } from "../../mod.ts";
import { MediumStorage } from "../../src/storage/medium_storage.ts";
import type { StorageOptions } from "../../src/storage/storage_options.ts";
import type { MediumFile, Place, StoredSnapshot } from "../../src/storage/medium.ts";
import { MemoryMedium, type MemoryPlace } from "../../src/storage/memory.ts";

/** What goes wrong with a read: an error, the same wrong byte each time, another one each time, or a short read. */
export type ReadFault = SnapshotErrorCode | "bad" | "flapping" | "short";

/** What is read: the manifest of a place, or a file. */
export interface MediumRead {
  readonly place: string;
  /** The file; absent for the manifest. */
  readonly name?: string;
}

/** A medium whose reads fail as they are told to. */
export class FaultyMedium extends MemoryMedium {
  /** Says what goes wrong with a read, if anything. */
  fault: (read: MediumRead) => ReadFault | undefined = () => undefined;
  /** What was moved or removed. */
  readonly moved: string[] = [];
  /** Where the snapshots lie, by their indices. */
  readonly placeOf: Map<bigint, string> = new Map();
  #reads = 0;

  override async publish(...args: Parameters<MemoryMedium["publish"]>): Promise<StoredSnapshot> {
    const stored = await super.publish(...args);
    this.placeOf.set(stored.manifest.index, stored.place.name);
    this.#spoil(stored.place);
    return stored;
  }

  override async inspect(place: MemoryPlace, index: bigint): Promise<StoredSnapshot> {
    const fault = this.fault({ place: place.name });
    if (fault === "bad" || fault === "short") throw new SnapshotError("CORRUPT", "The manifest is wrong");
    if (fault === "flapping") throw new SnapshotError("CORRUPT", `The manifest is wrong in way ${this.#reads++}`);
    if (fault !== undefined) throw new SnapshotError(fault, `The manifest of ${place.name} fails`);
    return await super.inspect(place, index);
  }

  /** Has reads of a snapshot's place fail as they are told to, and notes its removal. */
  #spoil(place: Place): void {
    const [open, remove] = [place.open.bind(place), place.remove.bind(place)];
    const at = place.name;
    place.open = async (name, mode, range) => {
      const file = await open(name, mode, range);
      if (mode !== "read") return file;
      const fault = this.fault({ place: at, name });
      if (fault === "NOT_FOUND") throw new SnapshotError(fault, `There is no ${name}`);
      return {
        read: (buffer, position) => this.#read(file, { place: at, name }, buffer, position),
        write: () => Promise.reject(new Error("It was opened to be read")),
        sync: () => file.sync(),
        size: () => file.size(),
        close: () => file.close(),
      };
    };
    place.remove = async () => {
      this.moved.push(`remove ${at}`);
      await remove();
    };
  }

  async #read(file: MediumFile, read: MediumRead, buffer: Uint8Array, position: number): Promise<number> {
    const fault = this.fault(read);
    const length = await file.read(buffer, position);
    if (fault === undefined) return length;
    if (fault === "short") return length >> 1;
    if (fault === "bad" || fault === "flapping") {
      if (length > 0) buffer[0]! ^= fault === "bad" ? 1 : 1 + this.#reads++ % 250;
      return length;
    }
    throw new SnapshotError(fault, `${read.name} of ${read.place} fails`);
  }

  override async quarantine(place: MemoryPlace, index: bigint): Promise<void> {
    this.moved.push(`quarantine ${place.name}`);
    await super.quarantine(place, index);
  }
}

/** A storage in memory of which snapshots can be spoiled. */
export class SpoiledStorage extends MediumStorage {
  readonly medium: FaultyMedium;
  readonly #spoiled = new Set<string>();

  /** @param options see {@linkcode StorageOptions} */
  constructor(options: StorageOptions = {}) {
    const medium = new FaultyMedium();
    super(medium, [], options);
    this.medium = medium;
    medium.fault = ({ place, name }) => name !== undefined && this.#spoiled.has(place) ? "bad" : undefined;
  }

  /** Changes a byte of each file of a snapshot, for good. */
  spoil(index: bigint): void {
    this.#spoiled.add(this.medium.placeOf.get(index)!);
  }

  /** Takes back what {@linkcode spoil} has done. */
  mend(): void {
    this.#spoiled.clear();
  }

  /** Changes it, and lets it be quarantined. */
  async spoilAndQuarantine(index: bigint): Promise<boolean> {
    this.spoil(index);
    return await this.quarantine(index, "a test");
  }
}
