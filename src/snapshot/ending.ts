/**
 * What is known of a file only at its end, and stands in the manifest beside its chunks.
 *
 * @module
 */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { messageOf, SnapshotError } from "../errors.ts";
import { type ChunkMap, equal } from "../stream/mod.ts";
import { type FileExtension, FileExtensionSchema } from "./gen/manifest_pb.ts";
import { checkKeyGroups, keyGroupsMessage, keyGroupsOf, MAX_KEY_GROUPS_BYTES } from "./key_groups.ts";
import { checkEncryption, type FileInfo, type FileOptions } from "./meta.ts";

/** What is known of a file at its end. */
export type FileEnding = Pick<FileInfo, "keyGroups" | "encryption">;

/** The longest ending, in bytes. */
export const MAX_ENDING_BYTES: number = MAX_KEY_GROUPS_BYTES + 4096;

/** Asks what is known of a file now. */
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

/** The fields of a file's message. */
export function endingFields({ keyGroups, encryption }: FileEnding): MessageInitShape<typeof FileExtensionSchema> {
  return {
    ...(keyGroups !== undefined && { keyGroups: keyGroupsMessage(keyGroups) }),
    ...(encryption !== undefined && { encryption: { keyId: encryption.keyId, mac: encryption.mac } }),
  };
}

/**
 * Reads the fields of a file's message.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function readEnding({ keyGroups, encryption }: FileExtension, size: number): FileEnding {
  return {
    ...(keyGroups !== undefined && { keyGroups: keyGroupsOf(keyGroups, size) }),
    ...(encryption !== undefined && { encryption: checkEncryption(encryption) }),
  };
}

/** As bytes, for an archive. */
export function encodeEnding(ending: FileEnding): Uint8Array {
  return toBinary(FileExtensionSchema, create(FileExtensionSchema, endingFields(ending)));
}

/**
 * From bytes.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function decodeEnding(bytes: Uint8Array): FileEnding {
  try {
    const ending = readEnding(fromBinary(FileExtensionSchema, bytes), Number.MAX_SAFE_INTEGER);
    // Some changes mean nothing to protobuf, and are damage all the same.
    if (equal(bytes, encodeEnding(ending))) return ending;
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `The end of a file is wrong: ${messageOf(error)}`, { cause: error });
  }
  throw new SnapshotError("MALFORMED", "The end of a file is not as it was written");
}
