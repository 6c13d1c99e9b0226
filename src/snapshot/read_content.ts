/**
 * Reading a range of the content, out of anything that has the files.
 *
 * @module
 */

import { InFlight } from "../async/mod.ts";
import type { FilePart, SnapshotContent } from "./content.ts";
import type { ReadOptions } from "./storage.ts";

/** The largest part of a file that is read as a whole, in bytes. */
const SMALL = 128 * 1024;
/** The most such parts that are read at the same time. */
const READ_AHEAD = 8;

/** A source of files: a reader, or an install as far as it has come. */
export interface FileReader {
  /** The content of a file, or a part of it, verified. */
  file(name: string, options?: ReadOptions): ReadableStream<Uint8Array>;
}

/**
 * Reads a range of the content.
 *
 * @param content which snapshot's
 * @param files has the files
 * @param start the first byte
 * @param end the byte before which it ends
 */
export async function* readContent(
  content: SnapshotContent,
  files: FileReader,
  start = 0,
  end: number = content.size,
): AsyncGenerator<Uint8Array, void, undefined> {
  const read = ({ file, start, end }: FilePart) => files.file(file.name, { start, end, raw: true });
  const ahead = new InFlight<Uint8Array[]>();
  try {
    // Small files are read ahead: opening one takes as long as reading it.
    for (const part of content.parts(start, end)) {
      if (part.end - part.start <= SMALL) {
        ahead.add(Array.fromAsync(read(part)));
        if (ahead.size >= READ_AHEAD) yield* await ahead.next();
        continue;
      }
      while (ahead.size > 0) yield* await ahead.next();
      yield* read(part);
    }
    while (ahead.size > 0) yield* await ahead.next();
  } finally {
    await ahead.settled();
  }
}
