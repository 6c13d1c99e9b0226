/**
 * Reading a range of the content, out of anything that has the files.
 *
 * @module
 */

import { mapAhead } from "../async/mod.ts";
import type { FilePart, SnapshotContent } from "./content.ts";
import type { ReadOptions } from "./reader.ts";

/** The largest part of a file that is read as a whole, in bytes. */
const SMALL = 128 * 1024;
/** The most such parts that are read at the same time. */
const READ_AHEAD = 8;

/** A source of files: a reader, or an install as far as it has come. */
export interface FileReader {
  /** The content of a file, or a part of it, verified unless asked otherwise. */
  file(name: string, options?: ReadOptions): ReadableStream<Uint8Array>;
}

/**
 * Reads a range of the content.
 *
 * @param content which snapshot's
 * @param files has the files
 * @param start the first byte
 * @param end the byte before which it ends
 * @param unverified whether chunks may be handed on that were not verified
 */
export async function* readContent(
  content: SnapshotContent,
  files: FileReader,
  start = 0,
  end: number = content.size,
  unverified = false,
): AsyncGenerator<Uint8Array, void, undefined> {
  const read = ({ file, start, end }: FilePart) => files.file(file.name, { start, end, raw: true, unverified });
  // Small files are read ahead: opening one takes as long as reading it.
  const begin = async (part: FilePart) => part.end - part.start <= SMALL ? await Array.fromAsync(read(part)) : part;
  for await (const part of mapAhead(content.parts(start, end), READ_AHEAD, begin)) {
    yield* Array.isArray(part) ? part : read(part);
  }
}
