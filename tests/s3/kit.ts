// What the tests on S3 share: the server that the suite started, and buckets in it.

import { AwsClient } from "aws4fetch";
import { S3Bucket, type S3BucketOptions, type S3Credentials } from "../../src/bucket/s3/bucket.ts";
import type { S3Server } from "../support/s3_server.ts";

/** Where the server is, and who may use it: in the environment, or, where there is none, as `suite.ts` put it here. */
const SERVER: S3Server = "Deno" in globalThis
  ? JSON.parse(Deno.env.get("S3_SERVER") ?? "{}")
  : (globalThis as unknown as { S3_SERVER: S3Server }).S3_SERVER;

/** The address of the server. */
export const ENDPOINT: string = SERVER.endpoint;

/** Who may use it. */
export const CREDENTIALS: S3Credentials = SERVER;

let made = 0;

/** Makes a bucket, and says how to ask for it. */
export async function makeBucket(): Promise<S3BucketOptions> {
  const bucket = `bucket-${Date.now()}-${++made}`;
  const client = new AwsClient({ ...SERVER, service: "s3", region: "us-east-1" });
  const answer = await client.fetch(`${ENDPOINT}/${bucket}`, { method: "PUT" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`Cannot make a bucket: ${text}`);
  return { endpoint: ENDPOINT, bucket, credentials: CREDENTIALS };
}

/** Makes a bucket. */
export async function newBucket(options: Partial<S3BucketOptions> = {}): Promise<S3Bucket> {
  return new S3Bucket({ ...await makeBucket(), ...options });
}
