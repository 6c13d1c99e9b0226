/**
 * Objects in S3, and in services with its protocol: R2, MinIO, Ceph, Google's and others.
 *
 * @module
 */

import { md5 } from "@noble/hashes/legacy.js";
import { checkInteger } from "../../checks.ts";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { sha256, toBase64 } from "../../stream/mod.ts";
import { partsOf, streamOf } from "../bodies.ts";
import type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "../bucket.ts";
import { beyondEnd, checkDelete, checkGet, checkList, checkPut, MAX_PAGE } from "../keys.ts";
import { answeredRange, S3Pieces } from "./body.ts";
import { type S3Address, S3Connection, type S3Request, strongEtag } from "./connection.ts";
import { S3Refusal } from "./errors.ts";
import { uploadParts } from "./multipart.ts";
import { deleteXml, fitsXml, type S3Element } from "./xml.ts";

export type { S3Address } from "./connection.ts";
export type { S3Client, S3Credentials } from "./signing.ts";

/** The smallest part that S3 takes, but for the last, in bytes. */
const MIN_PART_SIZE = 5 * 1024 * 1024;
/** The largest part, in bytes. */
const MAX_PART_SIZE = 2 ** 32 - 1;

/** Options of {@linkcode S3Bucket}. */
export interface S3BucketOptions extends S3Address {
  /**
   * The size of the parts that a stream goes up in, in bytes: at least 5 MiB. S3 takes 10,000 parts; about ten of them
   * are in memory.
   *
   * @default {8388608}
   */
  readonly partSize?: number;
}

/**
 * A bucket of S3, or of a service with its protocol.
 *
 * Every body goes up with its SHA-256, and S3 refuses it if another one arrives. A clock that is wrong is corrected by
 * the service's; a temporary redirect within the service is followed. Conditions are S3's own
 * (`If-None-Match`, `If-Match`): find out whether a service that is like S3 heeds them; one that does not overwrites. A
 * key with `.` or `..` as a part between slashes has no address, and is `MALFORMED`; one that is listed can be deleted.
 *
 * @example
 * ```ts
 * import { S3Bucket } from "@snapstream/snapstream/object";
 *
 * const bucket = new S3Bucket({
 *   endpoint: "https://s3.eu-central-1.amazonaws.com",
 *   region: "eu-central-1",
 *   bucket: "snapshots",
 *   credentials: { accessKeyId: "AKIA…", secretAccessKey: "…" },
 * });
 * console.assert(typeof bucket.get === "function");
 * ```
 */
export class S3Bucket implements Bucket {
  readonly #connection: S3Connection;
  readonly #partSize: number;

  /**
   * Takes the address of a bucket that exists. No request is made yet.
   *
   * @param options where it is, and who is asking
   * @throws {SnapshotError} `MALFORMED` if an option is wrong
   */
  constructor(options: S3BucketOptions) {
    this.#connection = new S3Connection(options);
    const { partSize = 8 * 1024 * 1024 } = options;
    checkInteger(partSize, "options.partSize", MIN_PART_SIZE, MAX_PART_SIZE);
    this.#partSize = partSize;
  }

  /** Reads an object, or a part of it. A body that ends too early fails with `UNAVAILABLE`. */
  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    checkGet(key, options);
    checkAddress(key);
    const { range, signal } = options;
    const request: S3Request = { method: "GET", key, headers: rangeHeaders(range), signal };
    let response: Response;
    try {
      response = await this.#connection.send(request, 200, ...(range === undefined ? [] : [206]));
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error;
      if (error.said === "NoSuchKey") return undefined; // not any 404: it may be a proxy's, or the bucket's
      if (error.fields.status === 416) throw beyondEnd(key, range?.start ?? 0);
      throw error;
    }
    try {
      const etag = strongEtag(response.headers.get("ETag"));
      const answered = answeredRange(response);
      if (!etag || answered === undefined) {
        throw this.#connection.nonsense(request, "its ETag or its lengths are missing", response.status);
      }
      const { size } = answered;
      const { start = 0, end = size } = range ?? {};
      if (range !== undefined && start >= size) throw beyondEnd(key, start, size);
      const stop = Math.min(end, size);
      if (answered.start > start || answered.end < stop) {
        const has = `it has the bytes ${answered.start} to ${answered.end}, not ${start} to ${stop}`;
        throw this.#connection.nonsense(request, has, response.status);
      }
      const broken = (error: unknown) => this.#connection.broken(request, error);
      const pieces = new S3Pieces(response, start - answered.start, stop - start, broken);
      return { key, size, etag, body: streamOf(pieces, signal) };
    } catch (error) {
      response.body?.cancel().catch(() => {});
      throw error;
    }
  }

  /** Writes an object: in one piece, or, if it is a stream of more than a part, in parts. */
  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const { body: checked } = checkPut(key, body, options);
    checkAddress(key);
    const { ifMatch, ifNoneMatch, signal } = options;
    const headers = {
      ...(ifMatch === undefined ? {} : { "If-Match": ifMatch }),
      ...(ifNoneMatch === undefined ? {} : { "If-None-Match": ifNoneMatch }),
    };
    try {
      if (checked instanceof Uint8Array) return await this.#putWhole(key, checked, headers, signal);
      const parts = partsOf(checked, this.#partSize, signal);
      try {
        const first = (await parts.next()).value!;
        const second = await parts.next();
        if (second.done) return await this.#putWhole(key, first, headers, signal);
        const all = chain([first, second.value], parts);
        return await uploadParts(this.#connection, { key, parts: all, headers, signal });
      } finally {
        await parts.return();
      }
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error;
      if (error.isCondition || (ifMatch !== undefined && error.said === "NoSuchKey")) return undefined;
      throw error;
    }
  }

  /** Deletes objects, a thousand at a time. */
  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkDelete(keys, options);
    // Others are named in XML, so that a key of a stranger's does not keep the rest from being deleted.
    for (const key of keys) if (!fitsXml(key)) checkAddress(key);
    const { signal } = options;
    const listed = keys.filter(fitsXml);
    throwIfCancelled(signal);
    for (let at = 0; at < listed.length; at += MAX_PAGE) {
      await this.#deleteSome(listed.slice(at, at + MAX_PAGE), signal);
    }
    for (const key of keys) {
      if (fitsXml(key)) continue;
      const answer = await this.#connection.send({ method: "DELETE", key, signal }, 200, 204);
      await answer.body?.cancel();
    }
  }

  /** Lists the objects, page by page. */
  async list(options: ListOptions = {}): Promise<ListPage> {
    const limit = checkList(options);
    const { prefix, cursor, signal } = options;
    const request: S3Request = {
      method: "GET",
      query: {
        "list-type": "2",
        "encoding-type": "url", // XML cannot hold every key
        "max-keys": `${limit}`,
        ...(prefix === undefined || prefix === "" ? {} : { prefix }),
        ...(cursor === undefined ? {} : { "continuation-token": cursor }),
      },
      signal,
    };
    const page = await this.#connection.ask(request, "ListBucketResult");
    const isEncoded = page.value("EncodingType") === "url";
    const objects = page.all("Contents").map((element) => objectOf(element, isEncoded));
    const next = page.value("NextContinuationToken");
    const isLast = page.value("IsTruncated") !== "true";
    if (!objects.every((object) => object !== undefined && object.key.startsWith(prefix ?? ""))) {
      throw this.#connection.nonsense(
        request,
        "an object has no key, size or ETag, or one that was not asked for",
        200,
      );
    }
    if (!isLast && (!next || next === cursor)) {
      throw this.#connection.nonsense(request, "it goes on, and does not say where", 200);
    }
    return { objects: objects as BucketObject[], ...(isLast ? {} : { cursor: next! }) };
  }

  async #putWhole(
    key: string,
    body: Uint8Array,
    conditions: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<BucketObject> {
    const headers = { ...conditions, ...await this.#checksum(body) };
    const request: S3Request = { method: "PUT", key, headers, body, signal };
    const response = await this.#connection.send(request, 200, 201, 204);
    await response.body?.cancel();
    const etag = strongEtag(response.headers.get("ETag"));
    if (!etag) throw this.#connection.nonsense(request, "there is no ETag", response.status);
    return { key, size: body.length, etag };
  }

  async #checksum(body: Uint8Array): Promise<Record<string, string>> {
    return this.#connection.checksums ? { "X-Amz-Checksum-Sha256": toBase64(await sha256(body)) } : {};
  }

  async #deleteSome(keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const body = new TextEncoder().encode(deleteXml(keys));
    // AWS, and services like it of different years, want one or the other.
    const headers = { "Content-MD5": toBase64(md5(body)), ...await this.#checksum(body) };
    const request: S3Request = { method: "POST", query: { delete: "" }, headers, body, signal };
    const errors = (await this.#connection.ask(request, "DeleteResult")).all("Error")
      .filter((error) => error.value("Code") !== "NoSuchKey");
    if (errors.length === 0) return;
    const [first] = errors as [S3Element];
    throw new S3Refusal({
      what: `Deleting ${errors.length} of ${keys.length} objects, such as ${first.value("Key")},`,
      source: this.#connection.address(),
      status: 200,
      code: first.value("Code"),
      message: first.value("Message") ?? "",
      retryAfter: undefined,
    });
  }
}

/** Refuses a key that no URL can hold: `a/../b` is read as `b`. */
function checkAddress(key: string): void {
  if (!key.split("/").some((part) => part === "." || part === "..")) return;
  throw new SnapshotError(
    "MALFORMED",
    `${JSON.stringify(key)} has no address in S3: . and .. mean something else there`,
    {
      file: key,
    },
  );
}

function rangeHeaders(range: GetOptions["range"]): Record<string, string> {
  if (range === undefined) return {};
  return {
    Range: `bytes=${range.start ?? 0}-${range.end === undefined || range.end === Infinity ? "" : range.end - 1}`,
  };
}

/** An object of a list; nothing if its key, size or ETag is missing. */
function objectOf(element: S3Element, isEncoded: boolean): BucketObject | undefined {
  const key = element.value("Key");
  const size = element.value("Size") ?? "";
  const etag = strongEtag(element.value("ETag"));
  if (!key || !/^\d+$/.test(size) || !etag) return undefined;
  try {
    return { key: isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : key, size: Number(size), etag };
  } catch {
    return undefined;
  }
}

async function* chain<T>(first: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield* first;
  yield* rest;
}
