/**
 * Encrypts chunks with AES-GCM.
 *
 * ```text
 * stored chunk = iv (12) ciphertext tag (16)
 * iv           = the first 12 bytes of HMAC-SHA256(ivKey, plaintext): equal chunks are stored as equal bytes, and need
 *                not be written or sent again (a synthetic IV, as in RFC 8452; the stored bytes show which chunks are
 *                equal, and nothing else)
 * mac of file  = HMAC-SHA256(macKey, u32be length of the name, name, root): without the key no chunk can be swapped,
 *                left out, or put into another file
 * seal         = HMAC-SHA256(sealKey, snapshot digest): nor can a file be left out or renamed, files of several
 *                snapshots be mixed, or the group, index, term, time or membership be changed
 * keys         = HKDF-SHA256(secret, no salt, "snapstream-1 " + "encrypt" | "iv" | "mac" | "seal")
 * ```
 *
 * The seal covers the digest, which covers the whole manifest but digest, signature and seal. A signature also covers
 * the digest: neither covers the other. So a node that passes a snapshot on can check the signature without the secret,
 * and a snapshot keeps its name and its signature when it is sealed with a new key. Removing one of the two gains
 * nothing: a reader that requires it refuses a snapshot without it. Chunks and files are not bound to an index, so that
 * the next snapshot can have them without encrypting again.
 *
 * A seal or a MAC that does not match is `FORBIDDEN`, not `CORRUPT`: the stored bytes have their SHA-256. Either the
 * key has the same name but another secret, or somebody without the secret made the snapshot; in both cases nothing is
 * moved.
 *
 * @module
 */

import { checkBytes, checkOptions, checkText, copyBytes, isCryptoKey, listOf, required, unfit } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import type { FileEncryption, FileInfo, SnapshotManifest, SnapshotSeal } from "../../snapshot/mod.ts";
import { concat, equal, MAX_CHUNK_SIZE, u32 } from "../../stream/mod.ts";

/**
 * A key that snapshots are encrypted with.
 *
 * @category Storage
 * @see {@linkcode decryptedReader}
 */
export interface EncryptionKey {
  /** Its name in manifests; 1 to 256 characters, not secret. */
  readonly id: string;
  /** The secret: at least 32 random bytes, or a `CryptoKey` for HKDF that may derive keys. */
  readonly secret: Uint8Array | Parameters<typeof crypto.subtle.verify>[1];
}

const IV_SIZE = 12;
/** The bytes that encryption adds to a chunk. */
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
  readonly #derive: () => ReturnType<typeof deriveKeys>;
  #derived: ReturnType<typeof deriveKeys> | undefined;

  /**
   * @param key the key
   * @throws {SnapshotError} `MALFORMED`: see {@linkcode checkKey}
   */
  constructor(key: EncryptionKey) {
    const secret = isCryptoKey(key.secret) ? key.secret : copyBytes(key.secret, "secret");
    this.id = key.id;
    this.#derive = () => deriveKeys(secret);
  }

  /** The keys of its own; derived when they are needed first, as those of an old key may never be. */
  get #keys(): ReturnType<typeof deriveKeys> {
    return this.#derived ??= this.#derive();
  }

  async encrypt(plain: Uint8Array): Promise<Uint8Array> {
    const { encrypt, iv: ivKey } = await this.#keys;
    const bytes = plain as Uint8Array<ArrayBuffer>;
    const iv = new Uint8Array(await crypto.subtle.sign("HMAC", ivKey, bytes)).subarray(0, IV_SIZE);
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, encrypt, bytes);
    return concat([iv, new Uint8Array(sealed)]);
  }

  /**
   * Decrypts a chunk whose digest was verified, so a failure means another key, not wrong bytes.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it was not encrypted with this key
   */
  async decrypt(stored: Uint8Array, file: string, chunk: number): Promise<Uint8Array> {
    const { encrypt } = await this.#keys;
    const iv = stored.slice(0, IV_SIZE);
    const sealed = stored.subarray(IV_SIZE) as Uint8Array<ArrayBuffer>;
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, encrypt, sealed));
    } catch (error) {
      throw new SnapshotError(
        "FORBIDDEN",
        `Chunk ${chunk} of ${JSON.stringify(file)} was not encrypted with this key ${JSON.stringify(this.id)}`,
        { file, chunk, cause: error },
      );
    }
  }

  /** Returns the seal, which binds all files to their snapshot. */
  async seal(digest: Uint8Array): Promise<SnapshotSeal> {
    const { seal } = await this.#keys;
    const mac = await crypto.subtle.sign("HMAC", seal, digest as Uint8Array<ArrayBuffer>);
    return { keyId: this.id, mac: new Uint8Array(mac) };
  }

  /** Returns what the manifest says of a file's encryption: the key, and the MAC of its name and root. */
  async sealFile(file: string, root: Uint8Array): Promise<FileEncryption> {
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

  /** The cipher that encrypts. */
  get current(): Cipher {
    return this.#ciphers[0]!;
  }

  /** Returns the cipher of the key with this name. */
  find(id: string): Cipher | undefined {
    return this.#ciphers.find((cipher) => cipher.id === id);
  }

  /**
   * Returns the cipher that a file was encrypted with, after checking the file's MAC.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it is not encrypted, if its key is not here, or if the key here has the same
   *   name but another secret; a file changed by somebody without the key looks like the last
   */
  async cipherOf({ name, chunks, encryption }: FileInfo): Promise<Cipher> {
    const cipher = encryption && this.find(encryption.keyId);
    if (cipher === undefined || chunks === undefined) {
      const what = encryption === undefined
        ? "is not encrypted"
        : `is encrypted with key ${JSON.stringify(encryption.keyId)}, which is not here`;
      throw new SnapshotError("FORBIDDEN", `${JSON.stringify(name)} ${what}`, { file: name });
    }
    if (equal((await cipher.sealFile(name, chunks.root)).mac, encryption!.mac)) return cipher;
    throw new SnapshotError(
      "FORBIDDEN",
      `${JSON.stringify(name)} is not what was encrypted with this key ${
        JSON.stringify(cipher.id)
      }: see to the secret; ` +
        `if that is right, somebody who does not have it put the file there`,
      { file: name },
    );
  }

  /**
   * Checks that a snapshot as a whole was written by a holder of one of the keys.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it is not
   */
  async checkSeal(
    { index, digest, meta: { seal } }: Pick<SnapshotManifest, "index" | "digest" | "meta">,
  ): Promise<void> {
    const cipher = seal && this.find(seal.keyId);
    if (cipher !== undefined && equal((await cipher.seal(digest)).mac, seal!.mac)) return;
    const what = seal === undefined
      ? "has no seal: it was not encrypted as a whole, or the seal was taken away"
      : cipher === undefined
      ? `is sealed with key ${JSON.stringify(seal.keyId)}, which is not here`
      : `is not what was sealed with key ${
        JSON.stringify(seal.keyId)
      }: the secret is another one, or the snapshot was ` +
        `put together by somebody who does not have it`;
    throw new SnapshotError("FORBIDDEN", `Snapshot ${index} ${what}`, { index });
  }
}

async function deriveKeys(secret: Uint8Array | Parameters<typeof crypto.subtle.verify>[1]) {
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
    seal: await derive("seal", hmac, ["sign"]),
  };
}
