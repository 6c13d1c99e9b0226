/**
 * Snapshots in memory: for tests, and for runtimes without a disk.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { SnapshotManifest } from "../snapshot/mod.ts";
import { toHex } from "../stream/mod.ts";
import type { Medium, MediumFile, PlacedSnapshot, QuarantinedPlace, StoredSnapshot } from "./medium.ts";
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
interface Place {
  manifest?: SnapshotManifest;
  readonly files: Map<string, MemoryFile>;
}

/** Places in memory. */
export class MemoryMedium implements Medium {
  readonly temp: string = "temp";
  readonly #places = new Map<string, Place>();
  readonly #quarantined = new Map<string, QuarantinedPlace>();
  #published = 0;

  installPlace({ index, digest }: SnapshotManifest): string {
    return `install-${index}-${toHex(digest)}`;
  }

  async installs(): Promise<PlacedSnapshot[]> {
    return [...this.#places].flatMap(([place, { manifest }]) =>
      place.startsWith("install-") && manifest !== undefined ? [{ place, manifest }] : []
    );
  }

  async clear(place: string): Promise<void> {
    this.#places.set(place, { files: new Map() });
  }

  async describe(place: string, manifest: SnapshotManifest): Promise<void> {
    this.#place(place).manifest = manifest;
  }

  async open(place: string, name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    const { files } = this.#place(place);
    if (mode === "create") files.set(name, new MemoryFile());
    const file = files.get(name);
    if (file !== undefined) return file;
    throw notFound(name);
  }

  async link(from: string, to: string, name: string, as: string): Promise<boolean> {
    const file = this.#places.get(from)?.files.get(name);
    if (file === undefined) throw notFound(name);
    this.#place(to).files.set(as, file);
    return true;
  }

  async unlink(place: string, name: string): Promise<void> {
    this.#place(place).files.delete(name);
  }

  async publish(place: string, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    const found = this.#place(place);
    let size = 0;
    for (const { name, chunks } of manifest.files) {
      const actual = await found.files.get(name)?.size();
      if (actual !== chunks?.size) {
        throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} is not complete`, { file: name });
      }
      size += actual!;
    }
    // Not named by its index, which may be taken again while a reader still has the quarantined snapshot.
    const stored = { place: `snapshot-${++this.#published}`, manifest, size };
    this.#places.delete(place);
    this.#places.set(stored.place, { ...found, manifest });
    return stored;
  }

  async inspect(place: string, index: bigint): Promise<StoredSnapshot> {
    const { manifest } = this.#place(place);
    if (manifest?.index === index) return { place, manifest, size: manifest.size };
    throw new SnapshotError("UNAVAILABLE", `There is no snapshot ${index} at ${place}`, { index });
  }

  async remove(place: string): Promise<void> {
    this.#places.delete(place);
    this.#quarantined.delete(place);
  }

  async quarantine(place: string, index: bigint): Promise<void> {
    this.#quarantined.set(place, { place, index, at: Date.now() });
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    return [...this.#quarantined.values()].reverse(); // the last comes first, even within one millisecond
  }

  async restore(place: string, index: bigint): Promise<StoredSnapshot> {
    const restored = await this.inspect(place, index);
    this.#quarantined.delete(place);
    return restored;
  }

  async close(): Promise<void> {
    this.#places.clear();
  }

  #place(place: string): Place {
    const found = this.#places.get(place);
    if (found !== undefined) return found;
    throw new SnapshotError("CLOSED", "The storage was closed");
  }
}

function notFound(name: string): SnapshotError {
  return new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(name)}`, { file: name });
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
