/**
 * The trailer of a file: facts that are known only at its end, and stand in the manifest beside its chunks.
 *
 * @module
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { messageOf, SnapshotError } from "../errors.ts";
import { type ChunkMap, equal } from "../stream/mod.ts";
import { type FileExtension, FileExtensionSchema } from "./gen/manifest_pb.ts";
import { checkKeyGroups, keyGroupsMessage, keyGroupsOf, MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";
import { checkEncryption, type FileInfo, type FileOptions } from "./meta.ts";

/** The trailer of a file. */
export type FileEnding = Pick<FileInfo, "keyGroups" | "encryption">;

/** The longest trailer, in bytes. */
export const MAX_ENDING_BYTES: number = MAX_KEY_GROUPS_BYTES + 4096;

/** Makes the trailer of a file that was written to its end. */
export async function endingOf(
  chunks: ChunkMap,
  keyGroups: FileOptions["keyGroups"],
  encryption: FileOptions["encryption"],
): Promise<FileEnding> {
  const groups = keyGroups?.();
  const encrypted = await encryption?.(chunks);
  return {
    ...(groups !== undefined && { keyGroups: checkKeyGroups(groups, chunks.size) }),
    ...(encrypted !== undefined && { encryption: checkEncryption(encrypted) }),
  };
}

/** The trailer's fields in a file's message. */
export function endingFields({ keyGroups, encryption }: FileEnding): MessageInitShape<typeof FileExtensionSchema> {
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
export function readEnding({ keyGroups, encryption }: FileExtension, size: number): FileEnding {
  return {
    ...(keyGroups !== undefined && { keyGroups: keyGroupsOf(keyGroups, size) }),
    ...(encryption !== undefined && { encryption: checkEncryption(encryption) }),
  };
}

/** Encodes a trailer, for an archive. */
export function encodeEnding(ending: FileEnding): Uint8Array {
  return toBinary(FileExtensionSchema, create(FileExtensionSchema, endingFields(ending)));
}

/**
 * Decodes a trailer.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function decodeEnding(bytes: Uint8Array): FileEnding {
  try {
    const ending = readEnding(fromBinary(FileExtensionSchema, bytes), Number.MAX_SAFE_INTEGER);
    // Some changes mean nothing to protobuf, but are damage all the same.
    if (equal(bytes, encodeEnding(ending))) return ending;
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `The trailer of a file is wrong: ${messageOf(error)}`, { cause: error });
  }
  throw new SnapshotError("MALFORMED", "The trailer of a file is not as it was written");
}
