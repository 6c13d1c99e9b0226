// Doubts and proofs about what is in a bucket of JetStream: some of the cases that `deno task crash` plays.

import { jetStreamWorlds, SMALL_MESSAGES } from "../crash/evidence_jetstream.ts";
import { proveStorages } from "../crash/evidence_storages.ts";
import { assert, test } from "../support/harness.ts";
import { withNats } from "../support/nats.ts";

test("JetStreamBucket: each grade of evidence at each moment, and two at once, loses nothing", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const counts = { cases: 0, restored: 0, errors: {} as Record<string, number> };
    await proveStorages(1, { one: 0.005, two: 0.0001 }, counts, jetStreamWorlds(connection));
    assert.isAbove(Object.keys(counts.errors).length, 1, `of ${counts.cases} cases some fail, each with its code`);
    await connection.close();
  }, SMALL_MESSAGES));
