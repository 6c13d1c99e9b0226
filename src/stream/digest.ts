/**
 * SHA-256 at native speed on every runtime: of much by Web Crypto, which works beside the thread, several at once; of
 * little at once, where the runtime can, since going to another thread and back costs more than the hash.
 *
 * @module
 */

import { checkBytes, checkOptions, integer } from "../checks.ts";
import { InFlight } from "../async/mod.ts";
import { builtinModule } from "./builtin_module.ts";

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

/** The most bytes that are hashed at once, about 20 µs: Web Crypto takes as long to begin. */
const LITTLE = 32 * 1024;

/** The part of `node:crypto` that is used. */
interface NodeCrypto {
  createHash(algorithm: string): { update(bytes: Uint8Array): { digest(): Uint8Array } };
}

/** That of the runtime, or nothing; not looked for while the module loads. */
let nodeCrypto: { readonly found: NodeCrypto | undefined } | undefined;

/**
 * The SHA-256 of some bytes.
 *
 * @param bytes what to hash; copied before this returns, so that it may be changed at once
 * @returns 32 bytes
 */
export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.length <= LITTLE) {
    const { found } = nodeCrypto ??= { found: builtinModule<NodeCrypto>("node:crypto") };
    if (found !== undefined) return new Uint8Array(found.createHash("sha256").update(bytes).digest());
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
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
