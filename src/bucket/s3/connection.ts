/**
 * Requests to one bucket of an S3, and answers from it.
 *
 * @module
 */

import { AwsClient } from "aws4fetch";
import { able, checkOptions, checkString, oneOf, required, withMembers } from "../../checks.ts";
import { cancelled, messageOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { raceAbort } from "../../async/mod.ts";
import { ByteBuffer, sha256, toHex } from "../../stream/mod.ts";
import { readFailure, retryAfter, S3Refusal } from "./errors.ts";
import { readXml, type S3Element } from "./xml.ts";

/** Signs requests and sends them: an `AwsClient` of aws4fetch is one. It must not retry. */
export interface S3Client {
  /** Signs a request, and sends it, with the `X-Amz-Content-Sha256` that it has. */
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** The credentials that requests are signed with. */
export interface S3Credentials {
  /** The access key's id. */
  readonly accessKeyId: string;
  /** The secret access key. */
  readonly secretAccessKey: string;
  /** The session token, of temporary credentials. */
  readonly sessionToken?: string;
}

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
/** The most bytes that are read of an answer that is no success. */
const MAX_FAILURE = 64 * 1024;
/** The SHA-256 of an empty body. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Asks one bucket. */
export class S3Connection {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #base: string;

  constructor(address: S3Address) {
    const { endpoint, bucket, region = "us-east-1", credentials, client, style = "path" } = checkOptions(address, {
      endpoint: required(checkString),
      bucket: required(checkString),
      region: checkString,
      credentials: withMembers<S3Credentials>({
        accessKeyId: required(checkString),
        secretAccessKey: required(checkString),
        sessionToken: checkString,
      }),
      client: able("an S3Client", "fetch"),
      style: oneOf("path", "virtual-host"),
    });
    if ((credentials === undefined) === (client === undefined)) {
      throw new SnapshotError("MALFORMED", "An S3 bucket is asked with credentials, or by a client: give one of them");
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(bucket)} is no name of a bucket`);
    }
    this.#client = client ?? signingClient(credentials!, region);
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
    const response = await this.#fetch(request);
    if (expected.includes(response.status)) return response;
    const text = await this.#text(request, response, MAX_FAILURE, true);
    throwIfCancelled(request.signal);
    throw this.#refusal(request, response, text);
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
    return new SnapshotError("UNAVAILABLE", `${this.#what(method, key)} got no answer: ${messageOf(error)}`, {
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
    });
  }

  async #fetch(request: S3Request): Promise<Response> {
    const { method, key, query = {}, headers = {}, body, signal } = request;
    throwIfCancelled(signal);
    const search = new URLSearchParams(query).toString().replaceAll("+", "%20");
    const hash = body === undefined ? EMPTY_SHA256 : toHex(await sha256(body));
    const init: RequestInit = {
      method,
      headers: { ...headers, "X-Amz-Content-Sha256": hash },
      redirect: "manual", // a signature holds for one address
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      ...(signal === undefined ? {} : { signal }),
    };
    try {
      const answer = this.#client.fetch(`${this.address(key)}${search === "" ? "" : `?${search}`}`, init);
      // An answer that comes after a cancel has no reader.
      answer.then((late) => signal?.aborted ? late.body?.cancel() : undefined).catch(() => {});
      return await raceAbort(answer, signal);
    } catch (error) {
      throw this.broken(request, error);
    }
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

/** Signs with aws4fetch, and sends. */
function signingClient(credentials: S3Credentials, region: string): S3Client {
  const signer = new AwsClient({ ...credentials, region, service: "s3" });
  return {
    async fetch(url, init) {
      const request = await signer.sign(url, init);
      // Bun asks for compression, of a range too. The header is not signed, since Node adds the same again.
      request.headers.set("Accept-Encoding", "identity");
      return await fetch(request);
    },
  };
}

/** The address of a bucket, with a slash at the end. */
function addressOf(endpoint: string, bucket: string, style: "path" | "virtual-host"): string {
  let url: URL;
  try {
    url = new URL(endpoint);
  } catch (error) {
    throw new SnapshotError("MALFORMED", `${JSON.stringify(endpoint)} is no address of an S3`, { cause: error });
  }
  const path = url.pathname.replace(/\/+$/, "");
  if (style === "path") return `${url.origin}${path}/${bucket}/`;
  return `${url.protocol}//${bucket}.${url.host}${path}/`;
}

/** Encodes a part of a path as S3 signs it: all but letters, digits and `-._~`. */
function encoded(part: string): string {
  return encodeURIComponent(part).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
