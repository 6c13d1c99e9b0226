// Limits of a server, an account or a stream: what is refused for them, by which code, and what goes on afterwards.

import { jetstreamManager } from "@nats-io/jetstream";
import { JetStreamBucket } from "../../src/jetstream.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { withNats } from "../support/nats.ts";
import { fill, openLog, take } from "./kit.ts";

const ONE_READER = `accounts {
  LIMITED {
    users: [{ user: "limited", password: "limited" }]
    jetstream { max_consumers: 1 }
  }
}
no_auth_user: "limited"`;

test("JetStreamBucket: a stream that limits its messages gets parts that fit, and is refused if hardly any do", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const open = () => JetStreamBucket.open(connection, { bucket: "limited" });
    const before = await open();
    const { streams } = await jetstreamManager(connection);
    await streams.update("bucket_limited", { max_msg_size: 50_000 });
    assert.match((await rejects(before.put("a", noise(60_000, 1)), "UNSUPPORTED")).message, /max_msg_size .* raise it/);
    const bucket = await open();
    for (const size of [40_000, 60_000, 260_000]) {
      await bucket.put("a", noise(size, size));
      assert.deepEqual(await bytesOf((await bucket.get("a"))!.body), noise(size, size));
    }
    await streams.update("bucket_limited", { max_msg_size: 4600 });
    const { fields, message } = await rejects(open(), "UNSUPPORTED");
    assert.deepEqual([fields.actual, /max_msg_size of the stream/.test(message)], [4600, true], message);
    for (const one of [before, bucket]) await one.close();
    await connection.close();
  }));

test("JetStreamBucket: a stream that is full says so, and what is deleted makes room", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const bucket = await JetStreamBucket.open(connection, { bucket: "full" });
    await (await jetstreamManager(connection)).streams.update("bucket_full", { max_bytes: 300_000 });
    for (const key of ["a", "b"]) await bucket.put(key, noise(100_000, 1));
    await rejects(bucket.put("c", noise(100_000, 2)), "NO_SPACE");
    assert.sameMembers((await bucket.list()).objects.map(({ key }) => key), ["a", "b"]);
    await bucket.delete(["a"]);
    await bucket.put("c", noise(100_000, 2));
    assert.deepEqual(await bytesOf((await bucket.get("c"))!.body), noise(100_000, 2));
    await bucket.close();
    await connection.close();
  }));

test("JetStreamLog: a reader waits while as many read as are allowed", () =>
  withNats(async (server) => {
    const [first, second] = [await openLog(server, "a"), await openLog(server, "b")];
    await fill(first.log, 3);
    const stop = new AbortController();
    const reading = first.log.follow(1n, stop.signal)[Symbol.asyncIterator]();
    await reading.next();
    const waiting = take(second.log, 1n, 3);
    waiting.catch(() => {}); // it is awaited below
    for (let looks = 0; looks < 20; looks++) await second.log.refresh(); // its attempt was answered before these
    stop.abort();
    await rejects(reading.next(), "CANCELLED");
    assert.lengthOf(await waiting, 3);
    for (const { close } of [first, second]) await close();
  }, ONE_READER));
