// The buckets that processes share, as what one process can tell another.

import { connect } from "@nats-io/transport-node";
import { S3Bucket, type S3BucketOptions } from "../../src/bucket/s3/bucket.ts";
import type { Bucket } from "../../src/bucket/mod.ts";
import { DirectoryBucket } from "../../src/fs.ts";
import { JetStreamBucket } from "../../src/jetstream.ts";

/** Where a bucket is. */
export type Where =
  | { readonly s3: S3BucketOptions }
  | { readonly nats: readonly string[]; readonly bucket: string; readonly replicas?: number }
  | { readonly directory: string };

/** Opens it, in a process of its own. */
export async function openBucket(where: Where): Promise<{ readonly bucket: Bucket; close(): Promise<void> }> {
  if ("s3" in where) return { bucket: new S3Bucket(where.s3), close: () => Promise.resolve() };
  if ("directory" in where) {
    return { bucket: await DirectoryBucket.open(where.directory), close: () => Promise.resolve() };
  }
  const { nats, bucket: name, replicas = 1 } = where;
  const connection = await connect({ servers: [...nats], maxReconnectAttempts: -1 });
  const bucket = await JetStreamBucket.open(connection, { bucket: name, replicas });
  return {
    bucket,
    async close() {
      await bucket.close();
      await connection.close();
    },
  };
}
