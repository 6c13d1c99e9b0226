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
 * @param url the server; `tls:` refuses one without TLS
 * @param login a user and a password, or a token alone; the user is empty if there is none
 * @param name the bucket
 * @param mustExist whether it is not made if there is none
 */
export async function connectNats(
  { protocol, host }: URL,
  { user, pass }: { readonly user: string; readonly pass: string },
  name: string,
  mustExist: boolean,
): Promise<{ readonly bucket: Bucket; close(): Promise<void> }> {
  const connection = await connect({
    servers: host,
    maxReconnectAttempts: 3,
    ...(protocol === "tls:" && { tls: {} }),
    ...(user !== "" && (pass === "" ? { token: user } : { user, pass })),
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
