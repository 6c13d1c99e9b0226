/**
 * Checking the chunks of a stream against their digests before they are handed on.
 *
 * @module
 */

import { checkBytes, checkInteger, checkOptions, checkString, required } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { equal } from "./bytes.ts";
import { checkChunkMap, type ChunkMap } from "./chunk_map.ts";
import { sha256 } from "./digest.ts";
import { InFlight } from "../async/mod.ts";

/**
 * The name and the chunks of a file, for {@linkcode verified}.
 *
 * @category Streams
 */
export interface VerifiableFile {
  /** The name of the file, for errors. */
  readonly name: string;
  /** Its chunks. */
  readonly chunks: ChunkMap;
}

/** The number of chunks that are hashed at the same time. */
const IN_FLIGHT = 4;

/**
 * Lets a file's bytes through chunk by chunk, each only after its SHA-256 was found right.
 * Bytes may come in pieces of any size; they go out one whole chunk at a time.
 *
 * @category Streams
 * @param file the name and the chunks
 * @param first the chunk with which the stream begins
 * @param end the chunk before which it ends; by default the last one is the last of the file
 * @returns a stage to pipe through, which fails with `CORRUPT` on a wrong chunk, a missing or a surplus byte
 *
 * @example Reading a file from anywhere, verified
 * ```ts
 * import { MemoryStorage, verified } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * const writer = await storage.create();
 * await ReadableStream.from([new Uint8Array(300_000)]).pipeTo(writer.file("state"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = await storage.open();
 * const { name, chunks } = reader.info("state");
 * const bytes = ReadableStream.from([new Uint8Array(300_000)]).pipeThrough(verified({ name, chunks: chunks! }));
 * for await (const chunk of bytes) console.assert(chunk.length > 0);
 * await reader.close();
 * ```
 */
export function verified(
  file: VerifiableFile,
  first = 0,
  end?: number,
): TransformStream<Uint8Array, Uint8Array> {
  checkOptions(file, { name: required(checkString), chunks: required(checkChunkMap) }, "file");
  const { name, chunks } = file;
  checkInteger(first, "first", 0, chunks.count);
  const stop = end === undefined ? chunks.count : end;
  checkInteger(stop, "end", first, chunks.count);
  const what = `A piece of ${JSON.stringify(name)}`;
  let running: InFlight<Uint8Array>;
  let i = first;
  let partial: Uint8Array | undefined;
  let filled = 0;

  const check = async (chunk: number, bytes: Uint8Array) => {
    const digest = await sha256(bytes);
    if (!equal(digest, chunks.digest(chunk))) throw chunks.corrupt(chunk, name, digest);
    return bytes;
  };
  return new TransformStream<Uint8Array, Uint8Array>({
    start(controller) {
      running = new InFlight(() => IN_FLIGHT, (chunk) => controller.enqueue(chunk));
    },
    async transform(came) {
      const piece = checkBytes(came, what);
      for (let at = 0; at < piece.length;) {
        if (i >= stop) {
          throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} goes on where it should end`, { file: name });
        }
        const length = chunks.length(i);
        let whole: Uint8Array | undefined;
        if (partial === undefined && piece.length - at >= length) {
          whole = piece.subarray(at, at + length);
          at += length;
        } else {
          partial ??= new Uint8Array(length);
          const taken = Math.min(length - filled, piece.length - at);
          partial.set(piece.subarray(at, at + taken), filled);
          filled += taken;
          at += taken;
          if (filled === length) whole = partial;
        }
        if (whole === undefined) continue;
        partial = undefined;
        filled = 0;
        await running.add(check(i++, whole));
      }
    },
    async flush() {
      await running.drain();
      if (i < stop) {
        throw new SnapshotError(
          "CORRUPT",
          `${JSON.stringify(name)} ends in or before its chunk ${i} of ${chunks.count}: the stream was cut short`,
          { file: name, chunk: i, expected: chunks.length(i), actual: filled },
        );
      }
    },
  });
}
