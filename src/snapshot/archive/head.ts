/**
 * Reading the head of an archive before anybody decides to take in the rest: see `format.ts`.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat, equal, sha256 } from "../../stream/mod.ts";
import { limitOf, malformed, Type } from "./format.ts";
import { type ArchiveRecord, decodeRecords } from "./records.ts";
import { SnapshotManifest } from "../manifest.ts";
import type { SnapshotMeta } from "../meta.ts";
import type { SnapshotVerifier } from "../signature.ts";
import { verifiedBy } from "../verified_by.ts";

/** The head of an archive. */
export interface ArchiveHead {
  /** The metadata of the snapshot. */
  readonly meta: SnapshotMeta;
  /** Its manifest; absent if the archive is a streamed one, whose files are not known yet. */
  readonly manifest: SnapshotManifest | undefined;
  /** The whole archive: the head again, and the rest as it comes. */
  readonly stream: ReadableStream<Uint8Array>;
}

/**
 * Reads the head of an archive, and checks that it is from somebody who is trusted before it looks at the rest of it.
 *
 * @param stream the archive; cancelled if its head is refused
 * @param verifier refuses what is not signed; a streamed archive has to be signed at its beginning, too
 * @param files the most files that its manifest may have
 * @throws {SnapshotError} `MALFORMED`, `CORRUPT`, `UNSUPPORTED`, `FORBIDDEN`
 */
export async function readHead(
  stream: ReadableStream<Uint8Array>,
  verifier: SnapshotVerifier | undefined,
  files?: number,
): Promise<ArchiveHead> {
  const reader = stream.getReader();
  const read: Uint8Array[] = [];
  const recorded = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      read.push(value);
      controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  try {
    const records = decodeRecords(recorded, limitOf, undefined);
    const { value: first } = await records.next();
    await records.return(undefined);
    const head = await decodeHead(first, verifier, files);
    const whole = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const again = read.shift();
        if (again !== undefined) return controller.enqueue(again);
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
    return { ...head, stream: whole };
  } catch (error) {
    reader.cancel(error).catch(() => {}); // not waited for: it may stall
    throw error;
  }
}

/**
 * Decodes the first record of an archive.
 *
 * @param record the record, if there is one
 * @param verifier refuses what is not signed
 * @param files the most files that a manifest may have
 */
export async function decodeHead(
  record: ArchiveRecord | undefined | void,
  verifier: SnapshotVerifier | undefined,
  files?: number,
): Promise<Omit<ArchiveHead, "stream">> {
  if (record?.type === Type.MANIFEST) {
    const manifest = await SnapshotManifest.decode(record.payload, { verifier, files });
    if (!manifest.verifiable) throw malformed("its MANIFEST has no chunk digests");
    return { meta: manifest.meta, manifest };
  }
  if (record?.type === Type.HEADER) {
    const header = await SnapshotManifest.decode(record.payload);
    const { meta, files, bytes, index, digest } = header;
    if (files.length > 0 || meta.createdAt === undefined || !equal(bytes, record.payload)) {
      throw malformed("its HEADER is not what an archive has there");
    }
    await verifiedBy(verifier, { index, meta, digest: await streamDigest(digest) });
    return { meta, manifest: undefined };
  }
  throw malformed("it begins with neither a MANIFEST nor a HEADER");
}

/**
 * What a signature at the beginning of a streamed archive is over: never the digest of a snapshot, so that the signed
 * beginning of one cannot pass for a snapshot without files.
 *
 * @param digest the digest of its HEADER
 */
export function streamDigest(digest: Uint8Array): Promise<Uint8Array> {
  return sha256(concat([new TextEncoder().encode("snapstream-stream-1\0"), digest]));
}

/** Refuses a snapshot with another index than was requested. */
export function checkIndexOf({ lastIncludedIndex: index }: SnapshotMeta, expected: bigint | undefined): void {
  if (expected === undefined || index === expected) return;
  throw new SnapshotError("MALFORMED", `The archive is of snapshot ${index}, not of ${expected}`, {
    index,
    expected,
    actual: index,
  });
}
