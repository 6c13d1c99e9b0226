/**
 * NATS JetStream: a stream as the replicated log of any number of replicas, and one as a bucket.
 *
 * What one of the replicas proposes all of them apply, in one order, each entry once. One that comes too late installs
 * a snapshot from another, or from a bucket that they share, and goes on. On Deno, Node and Bun at once:
 * `tests/examples/leaderboard.ts` of the repository. Beside this package you install those of NATS that you use:
 * `@nats-io/jetstream`, `@nats-io/kv` and `@nats-io/nats-core`, or `@nats-io/transport-node` for TCP.
 *
 * ## Joining a group
 *
 * ```ts
 * import { KeyValueMachine, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { JetStreamBucket, JetStreamLog } from "@snapstream/snapstream/jetstream";
 * import { ObjectStorage } from "@snapstream/snapstream/object";
 * import { wsconnect } from "@nats-io/nats-core"; // or `connect` of `@nats-io/transport-node`, for TCP
 *
 * async function join(servers: string, member: string): Promise<Replica<KeyValueMachine<string>>> {
 *   const connection = await wsconnect({ servers, maxReconnectAttempts: -1 });
 *   const log = await JetStreamLog.open(connection, { stream: "leaderboard", member });
 *   const bucket = await JetStreamBucket.open(connection, { bucket: "snapshots" }); // shared: S3, R2 will do as well
 *   const storage = await ObjectStorage.open(bucket);
 *   return await Replica.open({ machine: new KeyValueMachine(utf8Codec()), log, storage });
 * }
 * console.assert(join.length === 2);
 * ```
 *
 * @module
 */

export { JetStreamBucket, type JetStreamBucketOptions } from "./jetstream/bucket.ts";
export { JetStreamLog, type JetStreamLogOptions } from "./jetstream/log.ts";
