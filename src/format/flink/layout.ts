/**
 * Where the files of a checkpoint are, and the bytes of its handles.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import { readBlocks, type SourceFiles } from "../files.ts";
import type { Handle } from "./handles.ts";

/** The name of the file that makes a directory a checkpoint. */
export const METADATA = "_metadata";
/** How many parts at the end of a path are looked for: `shared/x`, `taskowned/x`, and those of merged files. */
const MOST_PARTS = 4;

/** A checkpoint's directory. */
export interface Place {
  /** The path of its metadata. */
  readonly metadata: string;
  /** The path of the directory, with a slash at its end if it has one. */
  readonly path: string;
}

/** Finds the files of handles, and reads their bytes. */
export class Layout {
  readonly #files: SourceFiles;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #roots: readonly string[];

  constructor(files: SourceFiles, { path }: Place) {
    this.#files = files;
    this.#sizes = new Map(files.entries.map(({ name, size }) => [name, size]));
    const parent = path.slice(0, Math.max(path.slice(0, -1).lastIndexOf("/") + 1, 0));
    this.#roots = path === "" ? [""] : [path, parent];
  }

  /** The file that a path means: the job may have written it elsewhere, and all of it been moved. */
  find(handle: Handle): string | undefined {
    if ("inline" in handle) return undefined;
    const parts = handle.path.split("/").filter((part) => part !== "");
    const most = handle.relative ? parts.length : Math.min(parts.length, MOST_PARTS);
    for (let count = handle.relative ? most : 1; count <= most; count++) {
      for (const root of this.#roots) {
        const name = root + parts.slice(-count).join("/");
        if (this.#sizes.has(name)) return name;
      }
    }
    return undefined;
  }

  /**
   * The file of a handle, which is as long as the handle says.
   *
   * @throws {SnapshotError} `NOT_FOUND` if it is not here, `CORRUPT` if it has another length
   */
  locate(handle: Exclude<Handle, { readonly inline: Uint8Array }>): string {
    const name = this.find(handle);
    if (name === undefined) {
      throw new SnapshotError(
        "NOT_FOUND",
        `The file ${JSON.stringify(handle.path)} is not here: it was deleted, or is outside of what was given`,
        { file: handle.path },
      );
    }
    const [size, least] = [this.#sizes.get(name)!, (handle.start ?? 0) + handle.size];
    if (handle.start === undefined ? size === least : size >= least) return name;
    throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} has ${size} bytes, and ${least} are expected`, {
      file: name,
      expected: least,
      actual: size,
    });
  }

  /** The bytes of a handle, in pieces. */
  async *read(
    handle: Handle,
    start: number,
    end: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (start > end || end > handle.size) {
      throw new SnapshotError("CORRUPT", `A state of ${handle.size} bytes has no bytes ${start} to ${end}`, {
        expected: end,
        actual: handle.size,
      });
    }
    if ("inline" in handle) {
      yield handle.inline.subarray(start, end);
      return;
    }
    const { start: first = 0 } = handle;
    yield* readBlocks(this.#files, this.locate(handle), first + start, first + end, { signal });
  }

  /** The bytes of a handle, all at once: the caller has seen that they are not too many. */
  async readWhole(handle: Handle, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    return concat(await Array.fromAsync(this.read(handle, start, end, signal)));
  }

  /** A name for a handle, for errors. */
  nameOf(handle: Handle): string {
    return "inline" in handle ? METADATA : this.find(handle) ?? handle.path;
  }
}
