/**
 * Digests of whole files, computed as bytes come: Web Crypto wants all bytes at once. Node, Deno and Bun have them
 * natively; elsewhere they are those of `@noble/hashes`.
 *
 * @module
 */

import { md5 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { nativeCrypto } from "../../stream/mod.ts";

/** A digest that is computed as bytes come. */
export interface RunningHash {
  /** Takes in bytes. */
  update(bytes: Uint8Array): void;
  /** The digest of all bytes; to be called once, last. */
  digest(): Uint8Array;
}

/**
 * A running digest.
 *
 * @param name which one: `"md5"` for Ratis, `"sha256"` for the others
 */
export function runningHash(name: "md5" | "sha256"): RunningHash {
  const native = nativeCrypto()?.createHash(name);
  if (native !== undefined) {
    return { update: (bytes) => void native.update(bytes), digest: () => new Uint8Array(native.digest()) };
  }
  return portableHash(name);
}

/** The same without anything native. */
export function portableHash(name: "md5" | "sha256"): RunningHash {
  return name === "md5" ? md5.create() : sha256.create();
}
