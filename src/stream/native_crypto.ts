/**
 * SHA-256 at once, by the runtime's own `node:crypto`.
 *
 * @module
 */

import { builtinModule } from "./builtin_module.ts";

/** The part of `node:crypto` that is used. */
export interface NativeCrypto {
  createHash(name: string): { update(bytes: Uint8Array): unknown; digest(): Uint8Array };
  /** Since Node 21.7: one call, half the time. As hexadecimal, since a `Buffer` of 32 bytes costs more than hashing. */
  hash?(name: string, bytes: Uint8Array, encoding: "hex"): string;
}

let native: NativeCrypto | null | undefined;

/** The runtime's own module, where there is one; not looked for while a module loads. */
export function nativeCrypto(): NativeCrypto | undefined {
  if (native === undefined) native = builtinModule<NativeCrypto>("node:crypto") ?? null;
  return native ?? undefined;
}

/** The SHA-256 of some bytes. */
export function nativeSha256(crypto: NativeCrypto, bytes: Uint8Array): Uint8Array {
  if (crypto.hash !== undefined) return fromDigits(crypto.hash("sha256", bytes, "hex"));
  const hash = crypto.createHash("sha256");
  hash.update(bytes);
  return new Uint8Array(hash.digest());
}

/** The bytes of a digest in hexadecimal, of lower case as `node:crypto` writes it. */
function fromDigits(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = nibble(digits.charCodeAt(2 * i)) << 4 | nibble(digits.charCodeAt(2 * i + 1));
  }
  return bytes;
}

/** The value of `0` to `9` (48 to 57) and `a` to `f` (97 to 102). */
function nibble(code: number): number {
  return code < 97 ? code - 48 : code - 87;
}
