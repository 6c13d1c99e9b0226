/**
 * Signatures of requests.
 *
 * @module
 */

import { AwsClient } from "aws4fetch";
import { fetchBytes } from "../../stream/mod.ts";

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

/** Signs with aws4fetch, and sends. */
export class SigningClient implements S3Client {
  readonly #signer: AwsClient;
  /** The milliseconds by which the service's clock is ahead, as far as it matters. */
  #ahead = 0;

  constructor(credentials: S3Credentials, region: string) {
    this.#signer = new AwsClient({ ...credentials, region, service: "s3" });
  }

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const now = new Date(Date.now() + this.#ahead).toISOString().replaceAll(/[:-]|\.\d{3}/g, "");
    const request = await this.#signer.sign(url, { ...init, aws: { datetime: now } });
    // Bun asks for compression, of a range too. The header is not signed, since Node adds the same again.
    request.headers.set("Accept-Encoding", "identity");
    return await fetchBytes(request);
  }

  /**
   * Signs by the service's clock from now on, as the SDKs of AWS do.
   *
   * @param date what it says that it is
   * @returns false if that is no date
   */
  setClock(date: string | null): boolean {
    const there = Date.parse(date ?? "");
    if (!Number.isFinite(there)) return false;
    this.#ahead = there - Date.now();
    return true;
  }
}
