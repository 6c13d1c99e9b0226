/**
 * SHA-256 without a turn of the event loop, for many small inputs: a call of Web Crypto costs more than the hashing.
 *
 * @module
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { builtinModule } from "./builtin_module.ts";
import { concat } from "./bytes.ts";

/** What is used of `node:crypto`. */
interface NativeCrypto {
  createHash(name: string): { update(bytes: Uint8Array): unknown; digest(): Uint8Array };
  /** Since Node 21.7: one call, half the time. */
  hash?(name: string, bytes: Uint8Array, encoding: "buffer"): Uint8Array;
}

let native: NativeCrypto | null | undefined;

/** The runtime's own module, where there is one. */
export function nativeCrypto(): NativeCrypto | undefined {
  if (native === undefined) native = builtinModule<NativeCrypto>("node:crypto") ?? null;
  return native ?? undefined;
}

/** Room for the parts of a short input, used again: allocating it takes longer than hashing. */
let room: Uint8Array | undefined;
const ROOM = 4096;

/** The parts in one array, which is valid until the next call. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > ROOM) return concat(parts);
  room ??= new Uint8Array(ROOM);
  let at = 0;
  for (const part of parts) {
    room.set(part, at);
    at += part.length;
  }
  return room.subarray(0, length);
}

/**
 * The SHA-256 of some parts, one behind the other.
 *
 * @param parts what to hash
 * @returns 32 bytes
 */
export function sha256Now(...parts: readonly Uint8Array[]): Uint8Array {
  const crypto = nativeCrypto();
  if (crypto?.hash !== undefined) {
    const digest = crypto.hash("sha256", joined(parts), "buffer");
    return new Uint8Array(digest.buffer, digest.byteOffset, digest.length);
  }
  const hash = crypto?.createHash("sha256") ?? sha256.create();
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
