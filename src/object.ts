/**
 * Snapshots in an object store: R2, S3, or anything else that implements {@linkcode Bucket}.
 *
 * @module
 */

export {
  type Bucket,
  type BucketBody,
  type BucketObject,
  type GetOptions,
  type ListOptions,
  type ListPage,
  MemoryBucket,
  type PutOptions,
} from "./bucket/mod.ts";
export { type S3Address, S3Bucket, type S3BucketOptions, type S3Client, type S3Credentials } from "./bucket/s3/mod.ts";
export * from "./bucket/r2.ts";
export * from "./storage/object/mod.ts";
