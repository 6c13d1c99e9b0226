/**
 * A snapshot as one stream. There are two kinds: *described*, of a known snapshot, which can be resumed where it was
 * cut short and can leave out the receiver's chunks; and *streamed*, written in one pass with nothing known in advance.
 *
 * ```text
 * archive  = magic MANIFEST PART* END                      described
 *          | magic HEADER (FILE | CHUNK | FILE_END)* SEAL? END   streamed        records: see records.ts
 * HEADER   (1) a manifest with the meta and no files; if there is a signer, with a signature over the SHA-256 of
 *              "snapstream-stream-1\0" and its digest
 * FILE     (2) chunk size (u32 big-endian; 0 if chunks have different ones), a manifest with this one file as braft
 *              would write it. Files are numbered as they come, from 0
 * CHUNK    (3) number of the file (u32), SHA-256 of the bytes (32), the bytes: of the chunk size, but for the last of
 *              a file. Up to 16 files may be on their way at the same time
 * FILE_END (4) number of the file (u32), its size (u64), key groups and encryption if it has any (a
 *              `FileExtension` of manifest.proto with nothing else)
 * END      (5) files (u32), bytes in CHUNKs or PARTs (u64), snapshot digest (32), the signature if there is one and no
 *              manifest has it
 * MANIFEST (6) the manifest
 * PART     (7) number of the chunk in the content (u32), its bytes
 * SEAL     (8) the seal, which is over the snapshot digest, of who encrypted the files (a `FileExtension` with nothing
 *              but `encryption`)
 * ```
 *
 * The end of a stream proves nothing (workerd ends a failed upload cleanly): an archive is complete only if it has its
 * END record, and nothing after it. The snapshot digest covers all that was sent: the manifest is rebuilt from that, or
 * every PART is verified against the manifest.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat, DIGEST_SIZE, MAX_CHUNK_SIZE, u32, u64 } from "../../stream/mod.ts";
import { MAX_TRAILER_BYTES } from "../trailer.ts";
import { MAX_MANIFEST_BYTES } from "../manifest_bytes.ts";
import { MAX_SIGNATURE } from "../meta.ts";

/** The types of records. */
export const Type = { HEADER: 1, FILE: 2, CHUNK: 3, FILE_END: 4, END: 5, MANIFEST: 6, PART: 7, SEAL: 8 } as const;

/** The most files of a streamed archive that may be on their way at the same time. */
export const MAX_OPEN_FILES = 16;
/** An END without a signature. */
export const END_SIZE: number = 12 + DIGEST_SIZE;

/** The largest SEAL: more than the longest identifier of a key and a MAC take. */
const MAX_SEAL = 2048;

/** The largest payload of each type of record. Anything else is not allowed at all. */
export function limitOf(type: number): number {
  switch (type) {
    case Type.HEADER:
      return 1024 * 1024;
    case Type.FILE:
      return 16 * 1024 * 1024;
    case Type.CHUNK:
      return 4 + DIGEST_SIZE + MAX_CHUNK_SIZE;
    case Type.FILE_END:
      return 12 + MAX_TRAILER_BYTES;
    case Type.END:
      return END_SIZE + MAX_SIGNATURE;
    case Type.MANIFEST:
      return MAX_MANIFEST_BYTES;
    case Type.PART:
      return 4 + MAX_CHUNK_SIZE;
    case Type.SEAL:
      return MAX_SEAL;
    default:
      return -1;
  }
}

/** The payload of an END. */
export function endOf(files: number, bytes: number, digest: Uint8Array, signature?: Uint8Array): Uint8Array {
  return concat([u32(files), u64(bytes), digest, signature ?? new Uint8Array(0)]);
}

/** A view for reading the numbers of a payload. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The error for something that is no archive. */
export function malformed(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not a right archive: ${what}`);
}
