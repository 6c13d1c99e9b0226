/**
 * The files of a snapshot that is being received, in its place of the medium.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { mapAhead } from "../async/mod.ts";
import type { ChunkedFile, SnapshotManifest } from "../snapshot/mod.ts";
import { ChunkTable } from "./chunk_table.ts";
import { HandlePool } from "./handle_pool.ts";
import type { MediumFile, Place, ReadablePlace } from "./medium.ts";
import { chunkWritten, readIfRight } from "./read_chunk.ts";

/** Files made durable at the same time, if they were found here. */
const SYNCS_IN_FLIGHT = 16;

/** A file that is being received. */
export interface Incoming {
  readonly info: ChunkedFile;
  /** The number of its first chunk in the content. */
  readonly first: number;
  /** The number of its chunks that are not here. */
  missing: number;
  /** True if the file exists and can be written to. */
  exists: boolean;
  /** The number of times that it was begun anew. */
  begun: number;
  /** Pending while the file is being begun anew. */
  beginning?: Promise<void>;
}

/** The files, and the states of their chunks. Chunks go by their numbers in the content. */
export class IncomingFiles implements Iterable<Incoming> {
  /** The states of the chunks; they change by {@linkcode mark} and {@linkcode lose}, which count for the files too. */
  readonly table: ChunkTable;
  readonly place: Place;
  /** Where they are read: in the place, and in that of the snapshot once it is one. */
  readable: ReadablePlace;
  readonly #manifest: SnapshotManifest;
  readonly #files: ReadonlyMap<string, Incoming>;
  readonly #handles: HandlePool;
  readonly #check: () => void;

  /**
   * @param place the place for it, which may not be there yet
   * @param manifest what is received
   * @param check throws when nothing may be written any more
   */
  constructor(place: Place, manifest: SnapshotManifest, check: () => void) {
    const { content } = manifest;
    this.place = this.readable = place;
    this.#manifest = manifest;
    this.#check = check;
    this.table = new ChunkTable(content);
    this.#handles = new HandlePool((name) => this.openToWrite(this.#files.get(name)!));
    let first = 0;
    this.#files = new Map(
      content.files.map((info) => {
        const { count } = info.chunks;
        const file = { info, first, missing: count, exists: false, begun: 0 };
        first += count;
        return [info.name, file];
      }),
    );
  }

  /** The files, in the order of the manifest. */
  [Symbol.iterator](): Iterator<Incoming> {
    return this.#files.values();
  }

  /** A file, by its name. */
  get(name: string): Incoming | undefined {
    return this.#files.get(name);
  }

  /** Notes that a chunk is here; returns the number of chunks of its file that are not. */
  mark(file: Incoming, chunk: number): number {
    if (this.table.hold(chunk)) file.missing--;
    return file.missing;
  }

  /** Notes that a chunk is not here any more, and has to come again. */
  lose(file: Incoming, chunk: number): void {
    if (this.table.lose(chunk)) file.missing++;
  }

  /** Opens a file to be written to; makes it if there is none. */
  async openToWrite(file: Incoming): Promise<MediumFile> {
    const opened = await this.place.open(file.info.name, file.exists ? "update" : "create");
    file.exists = true;
    return opened;
  }

  /** Reads a chunk that is here, once; returns nothing if it is not right any more, as far as that is looked at. */
  async read(
    handle: MediumFile,
    file: Incoming,
    chunk: number,
    unverified = false,
  ): Promise<Uint8Array | undefined> {
    const { chunks } = file.info;
    const i = chunk - file.first;
    if (!unverified) return await readIfRight(handle, chunks, i);
    const bytes = new Uint8Array(chunks.length(i));
    return await handle.read(bytes, chunks.offset(i)) === bytes.length ? bytes : undefined;
  }

  /** Writes a verified chunk. */
  async put(chunk: number, bytes: Uint8Array): Promise<void> {
    const { file: { name, chunks }, chunk: i } = this.#manifest.content.locate(chunk);
    const file = this.#files.get(name)!;
    this.#check();
    await this.#durably(file, async () => {
      const { begun } = file;
      await this.#handles.use(name, async (handle) => {
        await handle.write(bytes, chunks.offset(i), chunkWritten(chunks, i));
        if (file.begun === begun) return this.mark(file, chunk) === 0;
        throw new SnapshotError("UNAVAILABLE", `${JSON.stringify(name)} is begun anew, since it could not be synced`, {
          file: name,
          chunk: i,
        });
      });
    });
  }

  /** Removes a file and everything that is known of it. */
  async forget(file: Incoming): Promise<void> {
    const { info: { name, chunks }, first } = file;
    for (let i = first; i < first + chunks.count; i++) this.lose(file, i);
    file.exists = false;
    file.begun++;
    await this.place.unlink(name);
  }

  /** Makes all of them durable, those too that were found here: a process that was killed may not have synced them. */
  async finish(): Promise<void> {
    const finishing = mapAhead(this.#files, SYNCS_IN_FLIGHT, ([name, file]) => {
      return this.#durably(file, () => this.#handles.finish(name));
    });
    for await (const _ of finishing);
  }

  /** Closes those that are open, durable or not. */
  close(): Promise<void> {
    return this.#handles.close();
  }

  /**
   * Writes to a file, or makes it durable. If a sync fails, the kernel may have dropped written pages that can still be
   * read, and a retry would succeed: so the file is begun anew.
   */
  async #durably(file: Incoming, verb: () => Promise<void>): Promise<void> {
    while (file.beginning !== undefined) await file.beginning;
    try {
      await verb();
    } catch (error) {
      // If that fails too there is no file, and the next write fails.
      await (file.beginning ??= this.#beginAnew(file).catch(() => {}).finally(() => delete file.beginning));
      throw error;
    }
  }

  /** Begins a file anew if it could not be made durable. */
  async #beginAnew(file: Incoming): Promise<void> {
    if (await this.#handles.discardBroken(file.info.name)) await this.forget(file);
  }
}
