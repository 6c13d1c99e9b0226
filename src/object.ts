/**
 * Snapshots in an object store: R2, S3, or anything else that implements {@linkcode Bucket}.
 *
 * {@linkcode ObjectStorage} keeps chunks by their digests, gathered into packs of 8 MiB, so that a chunk that an
 * earlier snapshot has is not uploaded again, and 1 GiB takes about 135 requests. Any number of processes may use one
 * bucket: a commit is one conditional put, so that of two writers one wins and the other is `STALE`; what others read,
 * write or rely on is not collected under them.
 *
 * ## In S3, or what speaks as it does
 *
 * ```ts
 * import { ObjectStorage, S3Bucket } from "@snapstream/snapstream/object";
 *
 * async function inS3(accessKeyId: string, secretAccessKey: string): Promise<ObjectStorage> {
 *   const bucket = new S3Bucket({
 *     endpoint: "https://s3.eu-central-1.amazonaws.com",
 *     region: "eu-central-1",
 *     bucket: "snapshots",
 *     credentials: { accessKeyId, secretAccessKey },
 *   });
 *   return await ObjectStorage.open(bucket, { prefix: "cities/", retain: 24 }); // for a Replica, a handler, pull …
 * }
 * console.assert(inS3.length === 2);
 * ```
 *
 * ## The same in any bucket
 *
 * ```ts
 * import { KeyValueMachine, MemoryLog, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { MemoryBucket, ObjectStorage } from "@snapstream/snapstream/object";
 *
 * const bucket = new MemoryBucket();
 * const storage = await ObjectStorage.open(bucket, { prefix: "cities/" });
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
 * await replica.propose(machine.put("Ulm", "120714"));
 * await replica.snapshot();
 * await replica.close();
 * console.assert((await bucket.list({ prefix: "cities/manifests/" })).objects.length === 1);
 * ```
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
