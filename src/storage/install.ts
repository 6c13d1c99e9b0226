/**
 * Receiving a snapshot chunk by chunk into a place of a medium, and finding there, and in other snapshots, what need
 * not be sent.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import type {
  ChunkRun,
  FileInfo,
  PrepareOptions,
  SnapshotInfo,
  SnapshotInstall,
  SnapshotManifest,
} from "../snapshot/mod.ts";
import { type ChunkMap, DigestIndex, equal, InFlight, sha256 } from "../stream/mod.ts";
import { HandlePool } from "./handle_pool.ts";
import type { Medium, MediumFile, PlacedSnapshot } from "./medium.ts";
import { readChunk } from "./reader.ts";

/** Chunks verified at the same time while looking what is here. */
const IN_FLIGHT = 4;

/** What a {@linkcode StoredInstall} needs of its storage. */
export interface InstallOwner {
  /** Complete snapshots to take chunks from, newest first. */
  snapshots(): readonly PlacedSnapshot[];
  /** Makes the place a snapshot. */
  publish(place: string, manifest: SnapshotManifest): Promise<SnapshotInfo>;
  /** The install is done with, for now or for ever. */
  released(): void;
}

/** A file that is being received. */
interface Incoming {
  readonly info: FileInfo;
  readonly chunks: ChunkMap;
  /** For each chunk whether it is here, verified: 1, or 0. */
  readonly have: Uint8Array;
  missing: number;
}

/** The install of a storage on a medium. */
export class StoredInstall implements SnapshotInstall {
  readonly manifest: SnapshotManifest;
  readonly #medium: Medium;
  readonly #place: string;
  readonly #owner: InstallOwner;
  readonly #files: ReadonlyMap<string, Incoming>;
  readonly #handles: HandlePool;
  #state: "open" | "committing" | "done" = "open";

  /**
   * @param medium has, or will have, a place for it
   * @param manifest what is received
   * @param owner the storage
   */
  constructor(medium: Medium, manifest: SnapshotManifest, owner: InstallOwner) {
    this.#medium = medium;
    this.manifest = manifest;
    this.#owner = owner;
    this.#place = medium.installPlace(manifest);
    this.#handles = new HandlePool((name) => medium.open(this.#place, name, "update"));
    this.#files = new Map(manifest.files.map((info) => {
      if (info.chunks === undefined) {
        throw new SnapshotError(
          "UNSUPPORTED",
          `${JSON.stringify(info.name)} cannot be verified: it has no chunk digests`,
          {
            file: info.name,
          },
        );
      }
      const { chunks } = info;
      return [info.name, { info, chunks, have: new Uint8Array(chunks.count), missing: chunks.count }];
    }));
  }

  async prepare(options: PrepareOptions = {}): Promise<void> {
    const { signal } = options;
    this.#check();
    const others = await this.#medium.installs();
    const mine = others.find(({ place }) => place === this.#place);
    const resumed = mine !== undefined && equal(mine.manifest.digest, this.manifest.digest);
    if (!resumed) {
      await this.#medium.clear(this.#place);
      await this.#medium.describe(this.#place, this.manifest);
    }
    for (const file of this.#files.values()) {
      throwIfCancelled(signal);
      if (resumed && await this.#adopt(file, options)) continue;
      if (await this.#link(file, options)) continue;
      await (await this.#medium.open(this.#place, file.info.name, "create")).close();
    }
    const sources = [...this.#owner.snapshots(), ...others.filter(({ place }) => place !== this.#place)];
    await this.#copy(sources, options);
  }

  *missing(): IterableIterator<ChunkRun> {
    for (const { info, have, missing } of this.#files.values()) {
      if (missing === 0) continue;
      for (let first = 0; first < have.length; first++) {
        if (have[first] === 1) continue;
        let end = first + 1;
        while (end < have.length && have[end] === 0) end++;
        yield { file: info, first, end };
        first = end;
      }
    }
  }

  async write(name: string, chunk: number, bytes: Uint8Array): Promise<void> {
    this.#check();
    const file = this.#files.get(name);
    if (file === undefined || !(chunk >= 0 && chunk < file.chunks.count)) {
      throw new SnapshotError(
        "MALFORMED",
        `Snapshot ${this.manifest.index} has no chunk ${chunk} of ${JSON.stringify(name)}`,
        {
          file: name,
          chunk,
        },
      );
    }
    const digest = await sha256(bytes);
    if (!equal(digest, file.chunks.digest(chunk))) throw file.chunks.corrupt(chunk, name, digest);
    if (file.have[chunk] === 1) return;
    await this.#handles.use(name, (handle) => handle.write(bytes, file.chunks.offset(chunk)));
    if (this.#mark(file, chunk) === 0) await this.#handles.finish(name);
  }

  async commit(): Promise<SnapshotInfo> {
    this.#check();
    for (const { file, first, end } of this.missing()) {
      throw new SnapshotError(
        "MALFORMED",
        `Chunks ${first} to ${end - 1} of ${JSON.stringify(file.name)} are missing`,
        {
          file: file.name,
          chunk: first,
        },
      );
    }
    this.#state = "committing";
    try {
      // Also what was found here: it may be in the page cache only, written by a process that was killed.
      for (const name of this.#files.keys()) await this.#handles.finish(name);
      const info = await this.#owner.publish(this.#place, this.manifest);
      this.#state = "done";
      for (const { place, manifest } of await this.#medium.installs()) {
        if (manifest.index <= this.manifest.index) await this.#medium.remove(place);
      }
      return info;
    } finally {
      if (this.#state === "committing") this.#state = "open";
      else this.#owner.released();
    }
  }

  async close(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "done";
    try {
      await this.#handles.close();
    } finally {
      this.#owner.released();
    }
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#state !== "open") throw new SnapshotError("CLOSED", "This snapshot is not being received any more");
  }

  /** Notes that a chunk is here; returns how many of the file are not. */
  #mark(file: Incoming, chunk: number): number {
    if (file.have[chunk] === 0) {
      file.have[chunk] = 1;
      file.missing--;
    }
    return file.missing;
  }

  /** Takes what an earlier install left of a file. Returns whether there is such a file, to be written to. */
  async #adopt(file: Incoming, options: PrepareOptions): Promise<boolean> {
    let handle: MediumFile;
    try {
      handle = await this.#medium.open(this.#place, file.info.name, "read");
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return false;
      throw error;
    }
    try {
      await this.#scan(file, handle, options);
    } finally {
      await handle.close();
    }
    // It may be a link to a file of another snapshot that was damaged since: not to be written to.
    if (file.missing > 0 && this.#linkable(file) !== undefined) {
      await this.#forget(file);
      return false;
    }
    return true;
  }

  /** Puts a file that is here as a whole, in another snapshot, into this one. */
  async #link(file: Incoming, options: PrepareOptions): Promise<boolean> {
    const { name } = file.info;
    const source = this.#linkable(file);
    if (source === undefined || !await this.#medium.link(source.place, this.#place, source.name, name)) return false;
    const handle = await this.#medium.open(this.#place, name, "read");
    try {
      await this.#scan(file, handle, { signal: options.signal });
    } finally {
      await handle.close();
    }
    if (file.missing === 0) {
      options.onReused?.(file.chunks.size, file.chunks.count);
      return true;
    }
    await this.#forget(file);
    return false;
  }

  #linkable(file: Incoming): { place: string; name: string } | undefined {
    for (const { place, manifest } of this.#owner.snapshots()) {
      const same = manifest.files.find(({ chunks }) =>
        chunks !== undefined && chunks.size > 0 && equal(chunks.root, file.chunks.root)
      );
      if (same !== undefined) return { place, name: same.name };
    }
    return undefined;
  }

  /** Takes a file away and everything that is known of it. */
  async #forget(file: Incoming): Promise<void> {
    await this.#medium.unlink(this.#place, file.info.name);
    file.have.fill(0);
    file.missing = file.chunks.count;
  }

  /** Finds out which chunks of a file are there and right. */
  async #scan(file: Incoming, handle: MediumFile, { signal, onReused }: PrepareOptions): Promise<void> {
    const running = new InFlight<void>();
    const look = async (i: number) => {
      try {
        const { length } = await readChunk(handle, file.info.name, file.chunks, i);
        this.#mark(file, i);
        onReused?.(length, 1);
      } catch (error) {
        if (!hasCode(error, "CORRUPT")) throw error;
      }
    };
    try {
      const size = await handle.size();
      for (let i = 0; i < file.chunks.count && file.chunks.offset(i) < size; i++) {
        throwIfCancelled(signal);
        running.add(look(i));
        if (running.size >= IN_FLIGHT) await running.next();
      }
      while (running.size > 0) await running.next();
    } finally {
      await running.settled();
    }
  }

  /** Copies missing chunks from wherever a chunk with the same digest is. */
  async #copy(sources: readonly PlacedSnapshot[], options: PrepareOptions): Promise<void> {
    const wanted = new WantedChunks([...this.#files.values()].filter(({ missing }) => missing > 0));
    if (wanted.count === 0) return;
    const running = new InFlight<void>();
    for (const { place, manifest } of sources) {
      for (const { name, chunks } of manifest.files) {
        if (chunks === undefined) continue;
        let source: MediumFile | undefined;
        try {
          for (let i = 0; i < chunks.count; i++) {
            if (!wanted.has(chunks.digest(i))) continue;
            throwIfCancelled(options.signal);
            source ??= await this.#medium.open(place, name, "read");
            running.add(this.#copyChunk(source, name, chunks, i, wanted, options.onReused));
            if (running.size >= IN_FLIGHT) await running.next();
          }
          while (running.size > 0) await running.next();
        } catch (error) {
          if (!hasCode(error, "NOT_FOUND")) throw error; // an install that had not come to this file
        } finally {
          await running.settled();
          await source?.close();
        }
      }
    }
  }

  async #copyChunk(
    source: MediumFile,
    name: string,
    chunks: ChunkMap,
    i: number,
    wanted: WantedChunks,
    onReused: PrepareOptions["onReused"],
  ): Promise<void> {
    let bytes: Uint8Array;
    try {
      bytes = await readChunk(source, name, chunks, i);
    } catch (error) {
      if (hasCode(error, "CORRUPT")) return; // to be fetched, then
      throw error;
    }
    for (const { file, chunk } of wanted.take(chunks.digest(i))) {
      if (file.have[chunk] === 1) continue;
      await this.write(file.info.name, chunk, bytes);
      onReused?.(bytes.length, 1);
    }
  }
}

/** The chunks of several files, to be found by their digests. */
class WantedChunks {
  readonly count: number;
  readonly #files: readonly Incoming[];
  readonly #starts: Float64Array;
  readonly #index: DigestIndex;
  /** By the first position of a digest: whether all its chunks were taken. */
  readonly #taken: Uint8Array;

  constructor(files: readonly Incoming[]) {
    this.#files = files;
    this.#starts = new Float64Array(files.length + 1);
    files.forEach(({ chunks }, i) => this.#starts[i + 1] = this.#starts[i]! + chunks.count);
    this.count = this.#starts[files.length]!;
    this.#taken = new Uint8Array(this.count);
    this.#index = new DigestIndex(this.count, (n) => {
      const { file, chunk } = this.#locate(n);
      return file.chunks.digest(chunk);
    });
  }

  /** Whether a chunk with this digest is wanted. */
  has(digest: Uint8Array): boolean {
    const { done, value } = this.#index.find(digest).next();
    return !done && this.#taken[value] === 0;
  }

  /** All chunks with this digest, once. */
  *take(digest: Uint8Array): Generator<{ file: Incoming; chunk: number }, void, undefined> {
    if (!this.has(digest)) return;
    for (const n of this.#index.find(digest)) {
      this.#taken[n] = 1;
      yield this.#locate(n);
    }
  }

  #locate(n: number): { file: Incoming; chunk: number } {
    let low = 0;
    let high = this.#files.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= n) low = middle;
      else high = middle;
    }
    return { file: this.#files[low]!, chunk: n - this.#starts[low]! };
  }
}
