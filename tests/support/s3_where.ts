// A server of S3's kind, and buckets in it. Runs on every runtime.

import { AwsClient } from "aws4fetch";

/** Where it is, and who may ask. */
export interface S3Server {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Ends it. */
  stop(): Promise<void>;
}

/** How to ask for a bucket. */
export interface S3Where {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

let made = 0;

/** Makes a bucket of a server, and says how to ask for it. */
export async function newS3Bucket(server: Omit<S3Server, "stop">): Promise<S3Where> {
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const credentials = { accessKeyId, secretAccessKey };
  const bucket = `bucket-${Date.now()}-${++made}`;
  const client = new AwsClient({ ...credentials, service: "s3", region: "us-east-1" });
  const answer = await client.fetch(`${endpoint}/${bucket}`, { method: "PUT" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`Cannot make a bucket: ${text}`);
  return { endpoint, bucket, credentials };
}
