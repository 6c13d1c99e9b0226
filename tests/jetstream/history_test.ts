// Several processes that save to one bucket in NATS. `deno task history` plays longer ones.

import type { NatsConnection } from "@nats-io/nats-core";
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

/** Servers of which several do not heed a condition together. */
function isOld({ info }: NatsConnection): boolean {
  return /^2\.[0-9]\./.test(info!.version);
}

test("JetStream: three processes save to one bucket: each snapshot is there once, and none is lost", () =>
  withNats((server) => play({ nats: [server.url], bucket: "shared" })));

test("JetStream: of puts on one condition, each by another of three servers, one wins; or the servers are too old", () =>
  withCluster(async (servers) => {
    const connections = await Promise.all(servers.map((server) => server.connect()));
    const options = { bucket: "raced", replicas: 3 };
    const open = () => Promise.all(connections.map((connection) => JetStreamBucket.open(connection, options)));
    if (isOld(connections[0]!)) await rejects(open(), "UNSUPPORTED");
    else {
      const buckets = await open();
      let before = await buckets[0]!.put("a", new Uint8Array(1));
      for (let round = 0; round < 50; round++) {
        const ifMatch = before!.etag;
        const put = await Promise.all(
          buckets.map((bucket, i) => bucket.put("a", Uint8Array.of(round, i), { ifMatch })),
        );
        const won = put.filter((it) => it !== undefined);
        assert.lengthOf(won, 1);
        before = won[0];
      }
      for (const bucket of buckets) await bucket.close();
    }
    for (const connection of connections) await connection.close();
  }));

test("JetStream: three processes save to one bucket of three servers that are not too old: none is lost", () =>
  withCluster(async (servers) => {
    const connection = await servers[0]!.connect();
    const canPlay = !isOld(connection);
    await connection.close();
    if (canPlay) await play({ nats: servers.map(({ url }) => url), bucket: "shared", replicas: 3 });
  }));
