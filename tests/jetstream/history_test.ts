// Several processes that save to one bucket in NATS. `deno task history` plays longer ones.

import { JetStreamBucket } from "../../src/jetstream.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { withCluster, withNats } from "../support/nats.ts";
import { playHistory } from "../history/history.ts";
import type { Where } from "../history/buckets.ts";

async function play(where: Where): Promise<void> {
  const history = await playHistory(where, { commits: 30, processes: 3 });
  const what = JSON.stringify(history);
  assert.deepEqual(history.violations, [], what);
}

test("JetStream: three processes save to one bucket: each snapshot is there once, and none is lost", () =>
  withNats((server) => play({ nats: [server.url], bucket: "shared" })));

test("JetStream: three processes save to one bucket of three servers: none is lost, or the servers are too old", () =>
  withCluster(async (servers) => {
    const connection = await servers[0]!.connect();
    const isOld = /^2\.[0-9]\./.test(connection.info!.version);
    if (isOld) await rejects(JetStreamBucket.open(connection, { bucket: "shared", replicas: 3 }), "UNSUPPORTED");
    await connection.close();
    if (!isOld) await play({ nats: servers.map(({ url }) => url), bucket: "shared", replicas: 3 });
  }));
