/**
 * Object stores in a few verbs.
 *
 * @module
 */

export type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "./bucket.ts";
