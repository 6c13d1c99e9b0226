/**
 * Multipart uploads of objects.
 *
 * @module
 */

import { InFlight, LinkedAbort } from "../../async/mod.ts";
import type { BucketObject } from "../bucket.ts";
import { SnapshotError } from "../../errors.ts";
import { type S3Connection, type S3Request, strongEtag } from "./connection.ts";
import { completeXml } from "./xml.ts";

/** The most parts of an object in S3. */
const MAX_PARTS = 10_000;
/** Parts on their way at the same time. */
const PARTS_IN_FLIGHT = 4;
/** The longest wait for S3 to abort an upload that failed, in milliseconds. */
const ABORT_WAIT = 3000;

/** The object that {@linkcode uploadParts} puts. */
export interface PartsUpload {
  readonly key: string;
  /** Its parts, each of its own memory; all but the last of one size, since R2 wants it so. */
  readonly parts: AsyncIterable<Uint8Array>;
  /** The headers of the condition. */
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** Puts an object part by part. It is visible only when complete; a failure leaves nothing behind, if S3 answers. */
export async function uploadParts(connection: S3Connection, upload: PartsUpload): Promise<BucketObject> {
  const { key, parts, headers, signal } = upload;
  const begin: S3Request = { method: "POST", key, query: { uploads: "" }, signal };
  const begun = await connection.ask(begin, "InitiateMultipartUploadResult");
  const uploadId = begun.value("UploadId");
  if (uploadId === undefined || uploadId === "") throw connection.nonsense(begin, "there is no UploadId");

  const stop = new LinkedAbort(signal);
  const etags: string[] = [];
  const running = new InFlight<string>(() => PARTS_IN_FLIGHT, (etag) => etags.push(etag));
  let [count, size] = [0, 0];
  let put: BucketObject | undefined;
  try {
    for await (const part of parts) {
      if (++count > MAX_PARTS) throw tooManyParts(key, size / MAX_PARTS);
      size += part.length;
      await running.add(putPart(connection, key, uploadId, count, part, stop.signal));
    }
    await running.drain();
    const body = new TextEncoder().encode(completeXml(etags));
    const complete: S3Request = { method: "POST", key, query: { uploadId }, headers, body, signal };
    const etag = strongEtag((await connection.ask(complete, "CompleteMultipartUploadResult")).value("ETag"));
    if (!etag) throw connection.nonsense(complete, "there is no ETag");
    return put = { key, size, etag };
  } finally {
    stop.unlink();
    if (put === undefined) {
      stop.abort();
      await running.settled(); // a part that arrives after the abort stays, and is paid for
      const end: S3Request = { method: "DELETE", key, query: { uploadId }, signal: AbortSignal.timeout(ABORT_WAIT) };
      const ended = connection.send(end, 200, 204).then((answer) => answer.body?.cancel());
      await ended.catch(() => {}); // the bucket's own rules clear it some day
    }
  }
}

async function putPart(
  connection: S3Connection,
  key: string,
  uploadId: string,
  number: number,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<string> {
  const request: S3Request = { method: "PUT", key, query: { partNumber: `${number}`, uploadId }, body, signal };
  const answer = await connection.send(request, 200);
  await answer.body?.cancel();
  const etag = strongEtag(answer.headers.get("ETag"));
  if (!etag) throw connection.nonsense(request, `there is no ETag of part ${number}`, answer.status);
  return etag;
}

function tooManyParts(key: string, partSize: number): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `${key} has more than ${MAX_PARTS} parts of ${partSize} bytes: open the bucket with a larger partSize`,
    { file: key, expected: MAX_PARTS },
  );
}
