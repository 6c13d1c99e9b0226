/**
 * Encrypting chunks with AES-GCM.
 *
 * ```text
 * stored chunk = iv (12) ciphertext tag (16)
 * iv           = the first 12 bytes of HMAC-SHA256(ivKey, plaintext): the same chunk is the same when it is stored again,
 *                and need not be written or sent again (a synthetic IV, as in RFC 8452; whoever sees what is stored sees
 *                which chunks are equal, and nothing else)
 * mac of file  = HMAC-SHA256(macKey, u32be length of the name, name, root): no chunk can be swapped, left out, or put into
 *                another file by who does not have the key
 * keys         = HKDF-SHA256(secret, no salt, "snapstream-1 " + "encrypt" | "iv" | "mac")
 * ```
 *
 * @module
 */

import { checkBytes, checkOptions, checkText, copyBytes, isCryptoKey, listOf, required, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { FileEncryption, FileInfo } from "../snapshot/mod.ts";
import { concat, equal, MAX_CHUNK_SIZE, u32 } from "../stream/mod.ts";

/** A key that snapshots are encrypted with. */
export interface EncryptionKey {
  /** What it is called in manifests; 1 to 256 characters, not secret. */
  readonly id: string;
  /** The secret: at least 32 random bytes, or a `CryptoKey` for HKDF that may derive keys. */
  readonly secret: Uint8Array | CryptoKey;
}

const IV_SIZE = 12;
/** How much larger a chunk is when it is encrypted. */
export const CIPHER_OVERHEAD: number = IV_SIZE + 16;
/** The largest chunk that can be encrypted. */
export const MAX_PLAIN_CHUNK: number = MAX_CHUNK_SIZE - CIPHER_OVERHEAD;
const LEAST_SECRET = 32;
const MAX_ID = 256;

/**
 * Checks a key for encryption.
 *
 * @throws {SnapshotError} `MALFORMED`, also if it is too short
 */
export function checkKey(key: unknown, what: string): void {
  const { id, secret } = checkOptions(key as EncryptionKey, {
    id: required(checkText),
    secret: required((secret, what) => isCryptoKey(secret) || checkBytes(secret, what)),
  }, what);
  if (id.length === 0 || id.length > MAX_ID) throw unfit(`${what}.id`, `a string of 1 to ${MAX_ID} characters`, id);
  if (isCryptoKey(secret) || secret.length >= LEAST_SECRET) return;
  throw new SnapshotError("MALFORMED", `${what}.secret has ${secret.length} bytes, and needs ${LEAST_SECRET} or more`);
}

/** Encrypts with one key, and decrypts what was encrypted with it. */
export class Cipher {
  /** See {@linkcode EncryptionKey.id}. */
  readonly id: string;
  readonly #keys: Promise<{ readonly encrypt: CryptoKey; readonly iv: CryptoKey; readonly mac: CryptoKey }>;

  /**
   * @param key the key
   * @throws {SnapshotError} `MALFORMED`: see {@linkcode checkKey}
   */
  constructor(key: EncryptionKey) {
    const secret = isCryptoKey(key.secret) ? key.secret : copyBytes(key.secret, "secret");
    this.id = key.id;
    this.#keys = deriveKeys(secret);
    this.#keys.catch(() => {});
  }

  async encrypt(plain: Uint8Array): Promise<Uint8Array> {
    const { encrypt, iv: ivKey } = await this.#keys;
    const bytes = plain as Uint8Array<ArrayBuffer>;
    const iv = new Uint8Array(await crypto.subtle.sign("HMAC", ivKey, bytes)).subarray(0, IV_SIZE);
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, encrypt, bytes);
    return concat([iv, new Uint8Array(sealed)]);
  }

  /** @throws {SnapshotError} `CORRUPT` if it is not what was encrypted with this key */
  async decrypt(stored: Uint8Array, file: string, chunk: number): Promise<Uint8Array> {
    const { encrypt } = await this.#keys;
    const iv = stored.slice(0, IV_SIZE);
    const sealed = stored.subarray(IV_SIZE) as Uint8Array<ArrayBuffer>;
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, encrypt, sealed));
    } catch (error) {
      throw new SnapshotError(
        "CORRUPT",
        `Chunk ${chunk} of ${JSON.stringify(file)} was not encrypted with key ${JSON.stringify(this.id)}`,
        { file, chunk, cause: error },
      );
    }
  }

  /** What a file says of its encryption. */
  async seal(file: string, root: Uint8Array): Promise<FileEncryption> {
    const { mac } = await this.#keys;
    const name = new TextEncoder().encode(file);
    const bytes = concat([u32(name.length), name, root]) as Uint8Array<ArrayBuffer>;
    return { keyId: this.id, mac: new Uint8Array(await crypto.subtle.sign("HMAC", mac, bytes)) };
  }
}

/** Several keys: the first encrypts, all decrypt. */
export class Keyring {
  readonly #ciphers: readonly Cipher[];

  /**
   * @param keys at least one
   * @throws {SnapshotError} `MALFORMED`
   */
  constructor(keys: readonly EncryptionKey[]) {
    listOf(checkKey)(keys, "keys");
    if (keys.length === 0) throw new SnapshotError("MALFORMED", "There is no key to encrypt with: keys is empty");
    this.#ciphers = keys.map((key) => new Cipher(key));
  }

  /** What is encrypted with now. */
  get current(): Cipher {
    return this.#ciphers[0]!;
  }

  /** The key with this name. */
  find(id: string): Cipher | undefined {
    return this.#ciphers.find((cipher) => cipher.id === id);
  }

  /**
   * What a file was encrypted with, by somebody who has the key.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it was not, or with a key that is not here; `CORRUPT` if it was changed since
   */
  async cipherOf({ name, chunks, encryption }: FileInfo): Promise<Cipher> {
    const cipher = encryption && this.find(encryption.keyId);
    if (cipher === undefined || chunks === undefined) {
      const what = encryption === undefined
        ? "is not encrypted"
        : `is encrypted with key ${JSON.stringify(encryption.keyId)}, which is not here`;
      throw new SnapshotError("FORBIDDEN", `${JSON.stringify(name)} ${what}`, { file: name });
    }
    if (equal((await cipher.seal(name, chunks.root)).mac, encryption!.mac)) return cipher;
    throw new SnapshotError(
      "CORRUPT",
      `${JSON.stringify(name)} is not what was encrypted with key ${JSON.stringify(cipher.id)}`,
      { file: name },
    );
  }
}

async function deriveKeys(secret: Uint8Array | CryptoKey) {
  const { subtle } = crypto;
  const base = isCryptoKey(secret)
    ? secret
    : await subtle.importKey("raw", secret as Uint8Array<ArrayBuffer>, "HKDF", false, ["deriveKey"]);
  const derive = (what: string, type: AesKeyGenParams | HmacKeyGenParams, usages: KeyUsage[]) => {
    const info = new TextEncoder().encode(`snapstream-1 ${what}`);
    const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
    return subtle.deriveKey(hkdf, base, type, false, usages);
  };
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  return {
    encrypt: await derive("encrypt", { name: "AES-GCM", length: 256 }, ["encrypt", "decrypt"]),
    iv: await derive("iv", hmac, ["sign"]),
    mac: await derive("mac", hmac, ["sign"]),
  };
}
