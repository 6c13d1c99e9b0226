/**
 * Object stores in a few verbs.
 *
 * @module
 */

export type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "./bucket.ts";
export { MemoryBucket } from "./memory.ts";
export { type S3Address, S3Bucket, type S3BucketOptions, type S3Client, type S3Credentials } from "./s3.ts";
