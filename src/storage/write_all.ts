/**
 * Writes a file that can be read at positions into a stream.
 *
 * @module
 */

import type { MediumFile } from "./medium.ts";

/** The bytes that are read at once. */
const READ_SIZE = 1024 * 1024;

/**
 * Writes a file from its first byte to its last.
 *
 * @param stream takes them; it is aborted if they cannot be read
 * @param from the file, asked for once the stream has taken a first write, and so has opened what it writes to
 * @param size the bytes that it is said to have
 * @throws the error of the stream, or of the file
 */
export async function writeAll(
  stream: WritableStream<Uint8Array>,
  from: () => Pick<MediumFile, "read">,
  size: number,
): Promise<void> {
  const writer = stream.getWriter();
  writer.closed.catch(() => {}); // each write rejects too
  try {
    await writer.ready;
    const buffer = new Uint8Array(Math.min(READ_SIZE, size + 1)); // one more, to see whether it became longer
    await writer.write(new Uint8Array(0)); // resolves when the file is open, and so its reader known
    const file = from();
    for (let at = 0;;) {
      const length = await file.read(buffer, at);
      if (length === 0) break;
      await writer.write(buffer.subarray(0, length));
      at += length;
    }
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
}
