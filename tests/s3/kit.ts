// What the tests on S3 share: the server that the suite started, and buckets in it.

import { S3Bucket, type S3BucketOptions, type S3Credentials } from "../../src/bucket/s3/bucket.ts";
import { newS3Bucket, type S3Server } from "../support/s3_where.ts";

/** Where the server is, and who may use it: in the environment, or, where there is none, as `suite.ts` put it here. */
const SERVER: S3Server & { readonly kind?: string } = "Deno" in globalThis
  ? JSON.parse(Deno.env.get("S3_SERVER") ?? "{}")
  : (globalThis as unknown as { S3_SERVER: S3Server }).S3_SERVER;

/** What server it is, without its version. */
export const KIND: string = SERVER.kind?.split(" ")[0] ?? "";

/** The address of the server. */
export const ENDPOINT: string = SERVER.endpoint;

/** Who may use it. */
export const CREDENTIALS: S3Credentials = SERVER;

/** Makes a bucket, and says how to ask for it. */
export function makeBucket(): Promise<S3BucketOptions> {
  return newS3Bucket(SERVER);
}

/** Makes a bucket. */
export async function newBucket(options: Partial<S3BucketOptions> = {}): Promise<S3Bucket> {
  return new S3Bucket({ ...await makeBucket(), ...options });
}
