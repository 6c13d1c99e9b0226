/**
 * NATS JetStream: a stream as the replicated log of any number of replicas, and one as a bucket.
 *
 * @module
 */

export { JetStreamBucket, type JetStreamBucketOptions } from "./jetstream/bucket.ts";
export { JetStreamLog, type JetStreamLogOptions } from "./jetstream/log.ts";
