/**
 * The trailer of a file: facts that are known only at its end, and stand in the manifest beside its chunks.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";
import { type ChunkMap, equal } from "../stream/mod.ts";
import { checkKeyGroups, keyGroupsMessage, keyGroupsOf, MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";
import { type EncryptionMessage, FILE_EXTENSION, type FileExtensionMessage } from "./messages.ts";
import { checkEncryption, type FileEncryption, type FileInfo, type FileOptions } from "./meta.ts";

/** The trailer of a file. */
export type FileTrailer = Pick<FileInfo, "keyGroups" | "encryption">;

/** The longest trailer, in bytes. */
export const MAX_TRAILER_BYTES: number = MAX_KEY_GROUPS_BYTES + 4096;

/** Makes the trailer of a file that was written to its end. */
export async function trailerOf(
  chunks: ChunkMap,
  keyGroups: FileOptions["keyGroups"],
  encryption: FileOptions["encryption"],
): Promise<FileTrailer> {
  const groups = keyGroups?.();
  const encrypted = await encryption?.(chunks);
  return {
    ...(groups !== undefined && { keyGroups: checkKeyGroups(groups, chunks.size) }),
    ...(encrypted !== undefined && { encryption: checkEncryption(encrypted) }),
  };
}

/** The trailer's fields in a file's message. */
export function trailerFields({ keyGroups, encryption }: FileTrailer): FileExtensionMessage {
  return {
    ...(keyGroups !== undefined && { keyGroups: keyGroupsMessage(keyGroups) }),
    ...(encryption !== undefined && { encryption: { keyId: encryption.keyId, mac: encryption.mac } }),
  };
}

/**
 * Reads the trailer's fields in a file's message.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function readTrailer({ keyGroups, encryption }: FileExtensionMessage, size: number): FileTrailer {
  return {
    ...(keyGroups !== undefined && { keyGroups: keyGroupsOf(keyGroups, size) }),
    ...(encryption !== undefined && { encryption: encryptionOf(encryption) }),
  };
}

/** The encryption, or the seal, of a message. */
export function encryptionOf({ keyId = "", mac = new Uint8Array(0) }: EncryptionMessage): FileEncryption {
  return checkEncryption({ keyId, mac });
}

/** Encodes a trailer, for an archive. */
export function encodeTrailer(trailer: FileTrailer): Uint8Array {
  return FILE_EXTENSION.encode(trailerFields(trailer));
}

/**
 * Decodes a trailer.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function decodeTrailer(bytes: Uint8Array): FileTrailer {
  try {
    const trailer = readTrailer(FILE_EXTENSION.decode(bytes), Number.MAX_SAFE_INTEGER);
    // Some changes mean nothing to protobuf, but are damage all the same.
    if (equal(bytes, encodeTrailer(trailer))) return trailer;
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `The trailer of a file is wrong: ${messageOf(error)}`, { cause: error });
  }
  throw new SnapshotError("MALFORMED", "The trailer of a file is not as it was written");
}
