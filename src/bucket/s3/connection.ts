/**
 * Requests to one bucket of an S3, and answers from it.
 *
 * @module
 */

import {
  able,
  checkAddress,
  checkBoolean,
  checkOptions,
  checkString,
  oneOf,
  required,
  withMembers,
} from "../../checks.ts";
import { cancelled, reasonOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { raceAbort } from "../../async/mod.ts";
import { ByteBuffer, sha256, toHex } from "../../stream/mod.ts";
import { readFailure, retryAfter, S3Refusal, wordIn } from "./errors.ts";
import { type S3Client, type S3Credentials, SigningClient } from "./signing.ts";
import { readXml, type S3Element } from "./xml.ts";

/** The address of a bucket, and the credentials for it. */
export interface S3Address {
  /**
   * The address of the service: `https://s3.eu-central-1.amazonaws.com`, `https://<account>.r2.cloudflarestorage.com`.
   */
  readonly endpoint: string;
  /** The name of the bucket. */
  readonly bucket: string;
  /**
   * The region that requests are signed for; `auto` for R2.
   *
   * @default {"us-east-1"}
   */
  readonly region?: string;
  /** The credentials; either these, or a client. */
  readonly credentials?: S3Credentials;
  /** Signs requests and sends them, instead of aws4fetch with the credentials: with its own retries switched off. */
  readonly client?: S3Client;
  /**
   * Whether a body goes up with its SHA-256 in `X-Amz-Checksum-Sha256`, which the service then checks and keeps.
   * Backblaze B2, for one, refuses the header. The signature has the same SHA-256 all the same.
   *
   * @default {true}
   */
  readonly checksums?: boolean;
  /**
   * The place of the bucket's name: in the path of its address, or in the host's name.
   *
   * @default {"path"}
   */
  readonly style?: "path" | "virtual-host";
}

/** A request. */
export interface S3Request {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** The key of the object; absent if the bucket is meant. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

/** The longest answer that is read whole: a page of a thousand of the longest keys has less than half. */
const MAX_ANSWER = 8 * 1024 * 1024;
/** The redirects that a request follows, one after the other. */
const MAX_REDIRECTS = 3;
/** Codes of a refusal for a clock that is not the service's; the second is R2's. */
const SKEWED: ReadonlySet<string> = new Set(["RequestTimeTooSkewed", "ExpiredRequest"]);
/** The most bytes that are read of an answer that is no success. */
const MAX_FAILURE = 64 * 1024;
/** The SHA-256 of an empty body. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Asks one bucket. */
export class S3Connection {
  /** Whether bodies go up with their SHA-256. */
  readonly checksums: boolean;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #base: string;

  constructor(address: S3Address) {
    const {
      endpoint,
      bucket,
      region = "us-east-1",
      credentials,
      client,
      checksums = true,
      style = "path",
    } = checkOptions(address, {
      endpoint: required(checkString),
      bucket: required(checkString),
      region: checkString,
      credentials: withMembers<S3Credentials>({
        accessKeyId: required(checkString),
        secretAccessKey: required(checkString),
        sessionToken: checkString,
      }),
      client: able("an S3Client", "fetch"),
      checksums: checkBoolean,
      style: oneOf("path", "virtual-host"),
    });
    if ((credentials === undefined) === (client === undefined)) {
      throw new SnapshotError("MALFORMED", "An S3 bucket is asked with credentials, or by a client: give one of them");
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(bucket)} is no name of a bucket`);
    }
    this.checksums = checksums;
    this.#client = client ?? new SigningClient(credentials!, region);
    this.#bucket = bucket;
    this.#base = addressOf(endpoint, bucket, style);
  }

  /** The error for an answer that makes no sense. */
  nonsense({ method, key }: S3Request, why: string, status?: number): SnapshotError {
    return new SnapshotError("UNAVAILABLE", `${this.#what(method, key)} was answered with nonsense: ${why}`, {
      source: this.address(key),
      ...(status === undefined ? {} : { status }),
    });
  }

  /**
   * Sends a request.
   *
   * @param request the request
   * @param expected the statuses that are a success
   * @returns the answer, its body to be read or cancelled
   * @throws {S3Refusal} for any other
   */
  async send(request: S3Request, ...expected: readonly number[]): Promise<Response> {
    for (let isFirst = true;; isFirst = false) {
      const response = await this.#follow(request);
      if (expected.includes(response.status)) return response;
      const text = await this.#text(request, response, MAX_FAILURE, true);
      throwIfCancelled(request.signal);
      const refusal = this.#refusal(request, response, text);
      if (!isFirst || !SKEWED.has(refusal.said ?? "")) throw refusal;
      if (!(this.#client instanceof SigningClient) || !this.#client.setClock(response.headers.get("Date"))) {
        throw refusal;
      }
    }
  }

  /**
   * Sends a request, also to where a 307 or 308 says: a new bucket of AWS is found so at first.
   * The request is signed anew, for its new address.
   */
  async #follow(request: S3Request): Promise<Response> {
    let url: string | undefined;
    for (let redirects = 0;; redirects++) {
      const response = await this.#fetch(request, url);
      if (redirects >= MAX_REDIRECTS || ![307, 308].includes(response.status)) return response;
      const next = this.#nextAddress(url ?? this.address(), response.headers.get("Location"));
      if (next === undefined) return response;
      await response.body?.cancel();
      url = next;
    }
  }

  /** The address that a redirect leads to, if it is one of the same service: never from https to http. */
  #nextAddress(from: string, location: string | null): string | undefined {
    if (location === null || !URL.canParse(location, from)) return undefined;
    const [before, after] = [new URL(from), new URL(location, from)];
    const isSame = after.protocol === before.protocol && serviceOf(after.hostname) === serviceOf(before.hostname);
    return isSame ? after.href : undefined;
  }

  /** Sends a request, and reads its answer, which may be an error even if the status is that of a success. */
  async ask(request: S3Request, root: string): Promise<S3Element> {
    const response = await this.send(request, 200);
    const text = await this.#text(request, response, MAX_ANSWER);
    const element = readXml(text);
    if (element?.name === root) return element;
    if (element?.name === "Error") throw this.#refusal(request, response, text);
    throw this.nonsense(request, `it is no ${root}, or not all of one`, response.status);
  }

  /** The error for a connection that broke. */
  broken({ method, key, signal }: S3Request, error: unknown): SnapshotError {
    if (signal?.aborted) return cancelled(signal);
    if (error instanceof SnapshotError) return error;
    return new SnapshotError("UNAVAILABLE", `${this.#what(method, key)} got no answer: ${reasonOf(error)}`, {
      source: this.address(key),
      cause: error,
    });
  }

  #refusal({ method, key }: S3Request, { status, headers }: Response, text: string): S3Refusal {
    const what = this.#what(method, key);
    const source = this.address(key);
    return new S3Refusal({
      ...readFailure(text),
      what,
      source,
      status,
      retryAfter: retryAfter(headers.get("Retry-After")),
      region: wordIn(headers, "x-amz-bucket-region"),
      requestId: wordIn(headers, "x-amz-request-id"),
    });
  }

  async #fetch(request: S3Request, url = this.#url(request)): Promise<Response> {
    const { method, headers = {}, body, signal } = request;
    throwIfCancelled(signal);
    const hash = body === undefined ? EMPTY_SHA256 : toHex(await sha256(body));
    const init: RequestInit = {
      method,
      headers: { ...headers, "X-Amz-Content-Sha256": hash },
      redirect: "manual", // a signature holds for one address: see #follow
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      ...(signal === undefined ? {} : { signal }),
    };
    try {
      const answer = this.#client.fetch(url, init);
      // An answer that comes after a cancel has no reader.
      answer.then((late) => signal?.aborted ? late.body?.cancel() : undefined).catch(() => {});
      return await raceAbort(answer, signal);
    } catch (error) {
      throw this.broken(request, error);
    }
  }

  #url({ key, query = {} }: S3Request): string {
    const search = new URLSearchParams(query).toString().replaceAll("+", "%20");
    return `${this.address(key)}${search === "" ? "" : `?${search}`}`;
  }

  /** Reads all of an answer, or only its beginning, if that is enough. */
  async #text(request: S3Request, response: Response, limit: number, beginning = false): Promise<string> {
    if (response.body === null) return "";
    const reader = response.body.getReader();
    const buffer = new ByteBuffer(limit);
    try {
      for (;;) {
        const { done, value } = await raceAbort(reader.read(), request.signal);
        if (done) break;
        const room = limit - buffer.length;
        if (value.length > room && !beginning) {
          throw this.nonsense(request, `it has more than ${limit} bytes`, response.status);
        }
        buffer.add(value.subarray(0, room));
        if (value.length > room) break;
      }
    } catch (error) {
      if (!beginning) throw this.broken(request, error);
    } finally {
      reader.cancel().catch(() => {});
    }
    return new TextDecoder().decode(buffer.bytes);
  }

  #what(method: string, key: string | undefined): string {
    return `${method} ${key === undefined ? "" : `${key} `}of bucket ${this.#bucket}`;
  }

  /** The address of an object, or of the bucket. */
  address(key?: string): string {
    return key === undefined ? this.#base : `${this.#base}${key.split("/").map(encoded).join("/")}`;
  }
}

/** The part of a host's name that all addresses of a service have: its last two labels; an IP address is all of it. */
function serviceOf(hostname: string): string {
  return /^[\d.]+$|:/.test(hostname) ? hostname : hostname.split(".").slice(-2).join(".");
}

/**
 * Returns an ETag of an answer as the service gave it. A proxy that compresses makes it weak, and no weak one ever
 * matches in `If-Match` (RFC 9110, 13.1.1); a service gives strong ones.
 */
export function strongEtag(etag: string | null | undefined): string | undefined {
  return etag?.replace(/^W\//, "") || undefined;
}

/** The address of a bucket, with a slash at the end. */
function addressOf(endpoint: string, bucket: string, style: "path" | "virtual-host"): string {
  const url = checkAddress(endpoint, "options.endpoint");
  if (url.username + url.password + url.search !== "") {
    const why = "has a user, a password or a query, which S3 does not know: give the credentials as such";
    throw new SnapshotError("MALFORMED", `options.endpoint ${why}`, { source: url.origin });
  }
  const [path = ""] = /^.*[^/]/.exec(url.pathname) ?? []; // without the slashes at its end
  if (style === "path") return `${url.origin}${path}/${bucket}/`;
  return `${url.protocol}//${bucket}.${url.host}${path}/`;
}

/** Encodes a part of a path as S3 signs it: all but letters, digits and `-._~`. */
function encoded(part: string): string {
  return encodeURIComponent(part).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
