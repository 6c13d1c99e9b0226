/**
 * SHA-256 without a turn of the event loop, for many small inputs: a call of Web Crypto costs more than the hashing.
 *
 * @module
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { concat } from "./bytes.ts";
import { DIGEST_SIZE } from "./digest.ts";
import { nativeCrypto, nativeSha256 } from "./native_crypto.ts";

/**
 * Shorter inputs are hashed in script on Deno, where a call of its `node:crypto` takes three microseconds, which is as
 * long as six blocks of 64 bytes do in script.
 */
const SHORT = 384;

/** Room for the parts of a short input, and what the last one took of it: making either costs as much as hashing. */
let room: Uint8Array | undefined;
let taken: Uint8Array | undefined;
const ROOM = 4096;

/** The parts in one array, which is valid until the next call. */
function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  if (length > ROOM) return concat(parts);
  room ??= new Uint8Array(ROOM);
  let at = 0;
  for (const part of parts) {
    room.set(part, at);
    at += part.length;
  }
  return taken?.length === length ? taken : taken = room.subarray(0, length);
}

type Hasher = ReturnType<typeof sha256.create>;
/** A hasher that is used again, and what it is before the first byte: making one takes longer than hashing. */
let script: { readonly hasher: Hasher; readonly fresh: Hasher } | undefined;

function inScript(parts: readonly Uint8Array[]): Uint8Array {
  const { hasher, fresh } = script ??= { hasher: sha256.create(), fresh: sha256.create() };
  fresh._cloneInto(hasher);
  for (const part of parts) hasher.update(part);
  const digest = new Uint8Array(DIGEST_SIZE);
  hasher.digestInto(digest);
  return digest;
}

/**
 * The SHA-256 of some parts, one behind the other.
 *
 * @param parts what to hash
 * @returns 32 bytes
 */
export function sha256Now(...parts: readonly Uint8Array[]): Uint8Array {
  const crypto = nativeCrypto();
  let length = 0;
  for (const part of parts) length += part.length;
  if (crypto === undefined || length < SHORT && "Deno" in globalThis) return inScript(parts);
  return nativeSha256(crypto, joined(parts, length));
}
