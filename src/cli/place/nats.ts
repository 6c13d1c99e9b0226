/**
 * Buckets in NATS JetStream, for those who name one.
 *
 * @module
 */

import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { Bucket } from "../../bucket/mod.ts";
import { messageOf, SnapshotError } from "../../errors.ts";
import { JetStreamBucket } from "../../jetstream/bucket.ts";

/**
 * Connects to a bucket.
 *
 * @param url the server, with a user and a password if it wants them
 * @param name the bucket
 * @param mustExist whether it is not made if there is none
 */
export async function connectNats(
  url: URL,
  name: string,
  mustExist: boolean,
): Promise<{ readonly bucket: Bucket; close(): Promise<void> }> {
  const { host, username, password } = url;
  const connection = await connect({
    servers: host,
    maxReconnectAttempts: 3,
    ...(username !== "" && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
  }).catch((error) => {
    throw new SnapshotError("UNAVAILABLE", `NATS cannot be reached at ${host}: ${messageOf(error)}`, { cause: error });
  });
  try {
    if (mustExist) {
      const manager = await jetstreamManager(connection);
      await manager.streams.info(`bucket_${name}`).catch((error) => {
        const message = `There is no bucket ${JSON.stringify(name)} in NATS at ${host}: ${messageOf(error)}`;
        throw new SnapshotError("NOT_FOUND", message, { cause: error });
      });
    }
    const bucket = await JetStreamBucket.open(connection, { bucket: name });
    return {
      bucket,
      async close() {
        await bucket.close();
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}
