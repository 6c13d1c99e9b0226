/**
 * Signatures over snapshot digests: with one, a manifest may come from anyone.
 *
 * ```text
 * signature = 01 keyId signature      keyId = the first 8 bytes of the SHA-256 of the public key, raw
 *                                     signature = Ed25519 (RFC 8032), 64 bytes, over "snapstream-snapshot-1\0" digest
 * ```
 *
 * @module
 */

import {
  checkBytes,
  checkCryptoKey,
  checkOptions,
  copyBytes,
  duration,
  isCryptoKey,
  listOf,
  required,
  withMembers,
} from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { concat, equal, sha256, toHex } from "../stream/mod.ts";
import type { SnapshotManifest } from "./manifest.ts";

/**
 * Signs snapshots as they are committed.
 *
 * @category Storage
 * @see {@linkcode ed25519Signer}
 */
export interface SnapshotSigner {
  /**
   * Signs a snapshot.
   *
   * @param digest its digest, 32 bytes
   * @returns the signature, at most 1024 bytes
   */
  sign(digest: Uint8Array): Promise<Uint8Array>;
}

/**
 * Says whether a snapshot is from somebody who is trusted.
 *
 * @category Storage
 * @see {@linkcode ed25519Signer}
 */
export interface SnapshotVerifier {
  /**
   * Checks the signature of a snapshot.
   *
   * @param manifest what was signed
   * @throws {SnapshotError} `FORBIDDEN` if it is not signed, or not by somebody who is trusted; `CORRUPT` if the
   *   signature is wrong
   */
  verify(manifest: Pick<SnapshotManifest, "index" | "digest" | "meta">): Promise<void>;
}

/**
 * A public key whose signatures are taken.
 *
 * @category Storage
 * @see {@linkcode ed25519Signer}
 */
export interface TrustedKey {
  /** The key: a `CryptoKey` of Ed25519, or its 32 bytes. */
  readonly publicKey: Parameters<typeof crypto.subtle.verify>[1] | Uint8Array;
  /**
   * The end of its use, in milliseconds since 1970: a snapshot that says that it was taken later is refused. For a key
   * that is being replaced. (Whoever has the key can backdate a snapshot: remove a key that was lost.)
   */
  readonly until?: number;
}

/** Signs a snapshot, if there is a signer; the signature is checked, as a signer may be anybody's. */
export async function signed(signer: SnapshotSigner | undefined, digest: Uint8Array): Promise<Uint8Array | undefined> {
  return signer && copyBytes(await signer.sign(digest), "What a signer gives");
}

const VERSION = 1;
const KEY_ID_SIZE = 8;
const SIGNATURE_SIZE = 64;

/**
 * Signs with an Ed25519 key.
 *
 * @category Storage
 * @param keys a pair made by `crypto.subtle.generateKey("Ed25519", …)`, or imported; the public key extractable
 *
 * @example
 * ```ts
 * import { ed25519Signer, ed25519Verifier, MemoryStorage } from "@snapstream/snapstream";
 *
 * const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
 * const storage = new MemoryStorage({ signer: ed25519Signer(keys) });
 * const writer = await storage.create();
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 * const reader = await storage.open();
 * await ed25519Verifier([{ publicKey: keys.publicKey }]).verify(reader.manifest); // or throws
 * await reader.close();
 * ```
 */
export function ed25519Signer(
  keys: {
    readonly privateKey: Parameters<typeof crypto.subtle.verify>[1];
    readonly publicKey: Parameters<typeof crypto.subtle.verify>[1];
  },
): SnapshotSigner {
  const { privateKey, publicKey } = checkOptions(keys, {
    privateKey: required(checkCryptoKey),
    publicKey: required(checkCryptoKey),
  }, "keys");
  let id: Promise<Uint8Array> | undefined;
  return {
    async sign(digest) {
      const message = signedMessage(checkBytes(digest, "digest"));
      id ??= rawKey(publicKey).then(keyId);
      const signature = await crypto.subtle.sign("Ed25519", privateKey, message);
      return concat([Uint8Array.of(VERSION), await id, new Uint8Array(signature)]);
    },
  };
}

/**
 * Accepts snapshots that were signed with one of some Ed25519 keys. To replace a key, trust both for a while.
 *
 * @category Storage
 * @see {@linkcode ed25519Signer}
 * @param keys the keys; looked at when a snapshot is checked, so that the array may change
 */
export function ed25519Verifier(keys: readonly TrustedKey[]): SnapshotVerifier {
  const check = listOf(withMembers<TrustedKey>({ publicKey: required(checkPublicKey), until: duration() }));
  check(keys, "keys");
  return {
    async verify({ index, digest, meta: { signature, createdAt = 0 } }) {
      if (signature === undefined) throw untrusted(index, "is not signed");
      if (signature[0] !== VERSION || signature.length !== 1 + KEY_ID_SIZE + SIGNATURE_SIZE) {
        throw untrusted(index, "is signed in a way that is not known");
      }
      const id = signature.subarray(1, 1 + KEY_ID_SIZE);
      check(keys, "keys"); // a key that is added, or taken away, is seen at once
      for (const { publicKey, until = Infinity } of keys) {
        const raw = await rawKey(publicKey);
        if (!equal(await keyId(raw), id)) continue;
        if (createdAt > until) throw untrusted(index, `is signed with key ${toHex(id)}, which had expired`);
        const key = await crypto.subtle.importKey("raw", raw as Uint8Array<ArrayBuffer>, "Ed25519", false, ["verify"]);
        const bytes = signature.slice(1 + KEY_ID_SIZE);
        if (await crypto.subtle.verify("Ed25519", key, bytes, signedMessage(digest))) return;
        throw new SnapshotError("CORRUPT", `The signature of snapshot ${index} is wrong: it is not what was signed`, {
          index,
        });
      }
      throw untrusted(index, `is signed with key ${toHex(id)}, which is not trusted`);
    },
  };
}

/** The signed message: not the digest alone, so that a signature for something else never is one for a snapshot. */
function signedMessage(digest: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([new TextEncoder().encode("snapstream-snapshot-1\0"), digest]) as Uint8Array<ArrayBuffer>;
}

const PUBLIC_KEY_SIZE = 32;

function checkPublicKey(value: unknown, what: string): void {
  if (isCryptoKey(value)) return;
  const { length } = checkBytes(value, what);
  if (length === PUBLIC_KEY_SIZE) return;
  throw new SnapshotError("MALFORMED", `${what} must be a CryptoKey or ${PUBLIC_KEY_SIZE} bytes, but has ${length}`);
}

async function rawKey(key: Parameters<typeof crypto.subtle.verify>[1] | Uint8Array): Promise<Uint8Array> {
  return isCryptoKey(key) ? new Uint8Array(await crypto.subtle.exportKey("raw", key)) : checkBytes(key, "publicKey");
}

async function keyId(raw: Uint8Array): Promise<Uint8Array> {
  return (await sha256(raw)).subarray(0, KEY_ID_SIZE);
}

function untrusted(index: bigint, what: string): SnapshotError {
  return new SnapshotError("FORBIDDEN", `Snapshot ${index} ${what}: trust the key of whoever takes it, or do not`, {
    index,
  });
}
