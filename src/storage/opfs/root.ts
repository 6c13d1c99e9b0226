/**
 * The root of an OPFS storage: its directories, and whether it may still be changed.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { OpfsContents } from "./contents.ts";
import type { OpfsDirectory } from "../../opfs/mod.ts";

/** What everything in a storage shares. */
export class OpfsRoot {
  readonly path: string;
  readonly places: OpfsDirectory;
  readonly contents: OpfsContents;
  /**
   * Of each place that is there, the ids of the contents of its files, by the hashes of the files' names: what no place
   * names is not used any more.
   */
  readonly used: Set<ReadonlyMap<string, string>> = new Set();
  /** True if some places could not be read: then content that seems unused may be used. */
  isPartlyKnown = false;
  /** Gives the lock back; absent if this was opened for reading only. */
  readonly #unlock: (() => Promise<void>) | undefined;
  #closed = false;

  /**
   * @param path for messages
   * @param places the directory of the places
   * @param data the directory of the contents
   * @param unlock gives the lock back; absent to read only
   */
  constructor(
    path: string,
    places: OpfsDirectory,
    data: OpfsDirectory,
    unlock: (() => Promise<void>) | undefined,
  ) {
    this.path = path;
    this.places = places;
    this.contents = new OpfsContents(data, `${path}/data`);
    this.#unlock = unlock;
  }

  /** The path of a place, for messages. */
  pathOf(id: string): string {
    return `${this.path}/places/${id}`;
  }

  /** Fails if it was opened for reading only. */
  checkWritable(): void {
    if (this.#unlock !== undefined) return;
    throw new SnapshotError("FORBIDDEN", `${this.path} was opened for reading only`);
  }

  /** Fails if it was closed. */
  checkOpen(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", "The storage was closed");
  }

  /** Removes those of the contents that no place names. */
  async removeUnused(contents: readonly string[]): Promise<void> {
    if (this.isPartlyKnown) return;
    const used = new Set([...this.used].flatMap((files) => [...files.values()]));
    for (const id of contents) if (!used.has(id)) await this.contents.remove(id);
  }

  /** Gives the lock back. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#unlock?.();
  }
}
