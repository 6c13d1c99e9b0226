/**
 * SHA-256 at native speed on every runtime: at once by `node:crypto` where there is one, else by Web Crypto, several at
 * a time.
 *
 * Web Crypto works beside the thread, and yet on Node and Deno a call of it costs the thread as much as the hash does,
 * since it copies the bytes, and all processors together twice as much. Bun does not copy.
 *
 * @module
 */

import { checkBytes, checkOptions, integer } from "../checks.ts";
import { InFlight, yieldTurn } from "../async/mod.ts";
import { nativeCrypto, nativeSha256 } from "./native_crypto.ts";

/** The length of a SHA-256 digest in bytes. */
export const DIGEST_SIZE = 32;

/**
 * A chunk and its SHA-256.
 *
 * @category Streams
 * @see {@linkcode digested}
 */
export interface DigestedChunk {
  /** The bytes of the chunk. */
  readonly bytes: Uint8Array;
  /** Their SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
}

/** The most bytes that are hashed at once: a millisecond, or three where the processor has no instructions for it. */
const AT_ONCE = 1024 * 1024;
/** The same on Bun, whose Web Crypto makes no copy: it takes no longer than what it needs to begin. */
const AT_ONCE_ON_BUN = 32 * 1024;
/** The bytes that are hashed at once before others get a turn. */
const TURN = 4 * 1024 * 1024;

let withoutTurn = 0;

/**
 * The SHA-256 of some bytes.
 *
 * @param bytes what to hash; read before this returns, so that it may be changed at once
 * @returns 32 bytes
 */
export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const native = bytes.length <= ("Bun" in globalThis ? AT_ONCE_ON_BUN : AT_ONCE) ? nativeCrypto() : undefined;
  if (native === undefined) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  }
  const digest = nativeSha256(native, bytes);
  if ((withoutTurn += bytes.length) > TURN) {
    withoutTurn = 0;
    await yieldTurn();
  }
  return digest;
}

/**
 * Options of {@linkcode digested}.
 *
 * @category Streams
 */
export interface DigestedOptions {
  /**
   * The number of digests computed at the same time, and of chunks held.
   *
   * @default {4}
   */
  readonly inFlight?: number;
}

/**
 * Puts its SHA-256 beside each chunk, in the order in which the chunks come.
 *
 * @category Streams
 * @param options how many at once
 * @returns a stage to pipe through
 *
 * @example The digests of a stream's chunks
 * ```ts
 * import { chunked, digested } from "@snapstream/snapstream";
 *
 * const body = ReadableStream.from([new Uint8Array(100_000), new Uint8Array(50_000)]);
 * for await (const { bytes, digest } of body.pipeThrough(chunked(65_536)).pipeThrough(digested())) {
 *   console.assert(bytes.length <= 65_536 && digest.length === 32);
 * }
 * ```
 */
export function digested(options: DigestedOptions = {}): TransformStream<Uint8Array, DigestedChunk> {
  const { inFlight = 4 } = checkOptions(options, { inFlight: integer(1) });
  let running: InFlight<DigestedChunk>;
  return new TransformStream<Uint8Array, DigestedChunk>({
    start(controller) {
      running = new InFlight(() => inFlight, (chunk) => controller.enqueue(chunk));
    },
    async transform(chunk) {
      const bytes = checkBytes(chunk, "A chunk that is to be hashed");
      if (bytes.length === 0) return;
      await running.add(sha256(bytes).then((digest) => ({ bytes, digest })));
    },
    flush: () => running.drain(),
  });
}
