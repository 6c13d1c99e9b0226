/**
 * Snapshots in memory: for tests, and for runtimes without a disk.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { SnapshotManifest } from "../snapshot/mod.ts";
import { toHex } from "../stream/mod.ts";
import type { Medium, MediumFile, Place, QuarantinedPlace, ReceivedSnapshot, StoredSnapshot } from "./medium.ts";
import { MediumStorage } from "./medium_storage.ts";
import type { StorageOptions } from "./storage_options.ts";

/**
 * Keeps snapshots in memory, by the same rules as on a disk, but nothing survives a crash.
 *
 * @category Storage
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = await storage.open();
 * const text = await new Response(reader.file("greeting")).text();
 * await reader.close();
 * console.assert(text === "hello");
 * ```
 */
export class MemoryStorage extends MediumStorage {
  /**
   * Makes an empty storage.
   *
   * @param options how many are kept, and who is told of problems
   */
  constructor(options: StorageOptions = {}) {
    super(new MemoryMedium(), [], options);
  }
}

/** A place in memory. */
export class MemoryPlace implements Place {
  readonly name: string;
  manifest: SnapshotManifest | undefined;
  #files: Map<string, MemoryFile> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The files. */
  get files(): Map<string, MemoryFile> {
    if (this.#files !== undefined) return this.#files;
    throw new SnapshotError("CLOSED", "The storage was closed");
  }

  /** Reports whether it is there. */
  get exists(): boolean {
    return this.#files !== undefined;
  }

  clear(): Promise<void> {
    return this.fill(new Map(), undefined);
  }

  /** Has it hold these files. */
  fill(files: Map<string, MemoryFile>, manifest: SnapshotManifest | undefined): Promise<void> {
    this.#files = files;
    this.manifest = manifest;
    return Promise.resolve();
  }

  async describe(manifest: SnapshotManifest): Promise<void> {
    await this.fill(this.files, manifest);
  }

  async open(name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    if (mode === "create") this.files.set(name, new MemoryFile());
    return this.#file(name);
  }

  #file(name: string): MemoryFile {
    const file = this.files.get(name);
    if (file !== undefined) return file;
    throw new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(name)}`, { file: name });
  }

  async link(from: MemoryPlace, name: string, as: string): Promise<boolean> {
    this.files.set(as, from.#file(name));
    return true;
  }

  async unlink(name: string): Promise<void> {
    this.files.delete(name);
  }

  async remove(): Promise<void> {
    this.#files = this.manifest = undefined;
  }
}

/** Places in memory. */
export class MemoryMedium implements Medium {
  readonly temp: Place = new MemoryPlace("temp");
  readonly #installs = new Map<string, MemoryPlace>();
  readonly #quarantined = new Map<MemoryPlace, QuarantinedPlace>();
  #published = 0;

  installPlace({ index, digest }: SnapshotManifest): Place {
    for (const [name, { exists }] of this.#installs) if (!exists) this.#installs.delete(name);
    const name = `install-${index}-${toHex(digest)}`;
    const place = this.#installs.get(name) ?? new MemoryPlace(name);
    this.#installs.set(name, place);
    return place;
  }

  async installs(): Promise<ReceivedSnapshot[]> {
    return [...this.#installs.values()].flatMap((place) => {
      const { manifest } = place;
      return manifest === undefined ? [] : [{ place, manifest }];
    });
  }

  async publish(from: MemoryPlace, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    const { files } = from;
    let size = 0;
    for (const { name, chunks } of manifest.files) {
      const actual = await files.get(name)?.size();
      if (actual !== chunks?.size) {
        throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} is not complete`, { file: name });
      }
      size += actual!;
    }
    // Not named by its index, which may be taken again while a reader still has the quarantined snapshot.
    const place = new MemoryPlace(`snapshot-${++this.#published}`);
    await place.fill(files, manifest);
    await from.remove();
    return { place, manifest, size };
  }

  async inspect(place: MemoryPlace, index: bigint): Promise<StoredSnapshot> {
    const { manifest } = place;
    if (manifest?.index === index) return { place, manifest, size: manifest.size };
    throw new SnapshotError("UNAVAILABLE", `There is no snapshot ${index} at ${place.name}`, { index });
  }

  async quarantine(place: MemoryPlace, index: bigint): Promise<void> {
    this.#quarantined.set(place, { place, index, at: Date.now() });
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    for (const place of this.#quarantined.keys()) if (!place.exists) this.#quarantined.delete(place);
    return [...this.#quarantined.values()].reverse(); // the last comes first, even within one millisecond
  }

  async restore(place: MemoryPlace, index: bigint): Promise<StoredSnapshot> {
    const restored = await this.inspect(place, index);
    this.#quarantined.delete(place);
    return restored;
  }

  async close(): Promise<void> {
    await Promise.all([this.temp, ...this.#installs.values()].map((place) => place.remove()));
  }
}

/** Bytes in pages, so that a growing file is never copied as a whole; a page is as large as what is in it. */
class MemoryFile implements MediumFile {
  readonly #pages: Uint8Array[] = [];
  #size = 0;

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const length = Math.max(Math.min(buffer.length, this.#size - position), 0);
    buffer.fill(0, 0, length); // a hole has no page, or a short one
    walk(position, length, (page, at, done, count) => {
      const bytes = this.#pages[page]?.subarray(at, at + count);
      if (bytes !== undefined) buffer.set(bytes, done);
    });
    return length;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    walk(position, bytes.length, (page, at, done, count) => {
      this.#grown(page, at + count).set(bytes.subarray(done, done + count), at);
    });
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  /** A page with room for so many bytes. */
  #grown(number: number, length: number): Uint8Array {
    const page = this.#pages[number];
    if (page !== undefined && page.length >= length) return page;
    const larger = new Uint8Array(Math.min(Math.max(length, 2 * (page?.length ?? 0)), MEMORY_PAGE));
    if (page !== undefined) larger.set(page);
    return this.#pages[number] = larger;
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#size);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The size of a full page of a file in memory. */
const MEMORY_PAGE = 256 * 1024;

/** Visits the parts of pages that a run of bytes lies in. */
function walk(
  position: number,
  length: number,
  visit: (page: number, at: number, done: number, count: number) => void,
): void {
  for (let done = 0; done < length;) {
    const at = (position + done) % MEMORY_PAGE;
    const count = Math.min(MEMORY_PAGE - at, length - done);
    visit(Math.floor((position + done) / MEMORY_PAGE), at, done, count);
    done += count;
  }
}
