// A stream as a bucket: what every bucket must do, and what a crash leaves.

import { jetstreamManager } from "@nats-io/jetstream";
import { hasCode } from "../../mod.ts";
import { Intent, sweep } from "../../src/jetstream/intent.ts";
import { BucketStream } from "../../src/jetstream/bucket_stream.ts";
import { subjectOf } from "../../src/jetstream/subjects.ts";
import { JetStreamBucket } from "../../src/jetstream.ts";
import { bucketConformance } from "../../src/testing/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test, testAll } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { eventually } from "./kit.ts";
import { NatsServer, withNats } from "../support/nats.ts";

testAll(
  "JetStreamBucket",
  bucketConformance(async () => {
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const { promise: ready, resolve: begin, reject } = Promise.withResolvers<
      { bucket: JetStreamBucket; stop(): Promise<void> }
    >();
    const running = inTemp(async (directory) => {
      const server = await NatsServer.start(directory);
      const connection = await server.connect();
      const bucket = await JetStreamBucket.open(connection, { bucket: "test" });
      begin({
        bucket,
        async stop() {
          await bucket.close();
          await connection.close();
          await server.kill();
        },
      });
      await over;
    });
    running.catch(reject);
    const { bucket, stop } = await ready;
    return {
      bucket,
      async cleanUp() {
        await stop();
        end();
        await running;
      },
    };
  }),
);

/** Does something with a bucket, and looks how many messages its stream has. */
function withBucket(
  work: (bucket: JetStreamBucket, messages: () => Promise<number>, server: NatsServer) => Promise<void>,
): Promise<void> {
  return withNats(async (server) => {
    const connection = await server.connect();
    const bucket = await JetStreamBucket.open(connection, { bucket: "test" });
    const manager = await jetstreamManager(connection);
    await work(bucket, async () => (await manager.streams.info("bucket_test")).state.messages, server);
    await bucket.close();
    await connection.close();
  });
}

/** More than one chunk. */
const LARGE = noise(3_000_000, 1);

test("JetStreamBucket: what is replaced or deleted leaves nothing behind, neither does what is not put", () =>
  withBucket(async (bucket, messages) => {
    const put = await bucket.put("a", LARGE);
    assert.equal(await messages(), 1 + 6);
    await bucket.put("a", LARGE.subarray(0, 1_500_000));
    assert.equal(await messages(), 1 + 3);
    assert.equal(await bucket.put("a", LARGE, { ifMatch: put!.etag }), undefined);
    assert.equal(await bucket.put("a", pieces(LARGE), { ifNoneMatch: "*" }), undefined);
    const failing = ReadableStream.from((async function* () {
      yield* pieces(LARGE);
      throw new Error("no more");
    })());
    assert.match(String(await bucket.put("a", failing).catch(String)), /no more/);
    assert.equal(await messages(), 1 + 3);
    await Promise.all(Array.from({ length: 8 }, (_, i) => bucket.put("a", LARGE.subarray(i))));
    assert.equal(await messages(), 1 + 6, "of eight at once one is left");
    await bucket.put("a", LARGE.subarray(0, 10));
    assert.equal(await messages(), 1);
    await bucket.put("b", LARGE);
    await bucket.delete(["a", "b", "none"]);
    assert.equal(await messages(), 0);
  }));

test("JetStreamBucket: one that is replaced while it is read fails, and does not mix", () =>
  withBucket(async (bucket) => {
    await bucket.put("a", noise(20_000_000, 1));
    const reader = (await bucket.get("a"))!.body.getReader();
    await reader.read();
    await bucket.put("a", noise(20_000_000, 2));
    await rejects(async () => {
      while (!(await reader.read()).done);
    }, "UNAVAILABLE");
  }));

test("JetStreamBucket: it is all there after the server was killed", () =>
  withBucket(async (bucket, _messages, server) => {
    const put = await bucket.put("a", LARGE);
    await server.kill();
    const down = await rejects(bucket.put("b", LARGE, { signal: AbortSignal.timeout(60_000) }), "UNAVAILABLE");
    assert.match(down.message, /bucket_test/);
    await server.start();
    await eventually("it is there again", async () => {
      try {
        return (await bucket.list()).objects.length === 1;
      } catch (error) {
        if (hasCode(error, "UNAVAILABLE")) return false;
        throw error;
      }
    });
    const got = (await bucket.get("a"))!;
    assert.equal(got.etag, put!.etag);
    assert.deepEqual(await bytesOf(got.body), LARGE);
  }));

test("JetStreamBucket: what a crash left of a put, before and after the object was there, is swept", () =>
  withNats(async (server) => {
    const connection = await server.connect();
    const bucket = await JetStreamBucket.open(connection, { bucket: "test" });
    const manager = await jetstreamManager(connection);
    const messages = async () => (await manager.streams.info("bucket_test")).state.messages;
    await bucket.put("a", LARGE);
    const stream = await BucketStream.open(connection, "test", 1);
    const chunksOf = async (key: string) => {
      const found = await stream.read(subjectOf(stream.subjects.objects, key), undefined);
      return found?.header.get("Snapstream-Chunks") || undefined;
    };
    const old = await chunksOf("a");
    // One that crashed with two chunks written; one that crashed when its object was there, and the old chunks too.
    const before = new Intent(stream, "b");
    await before.begin(undefined);
    for (const n of [0, 1]) await stream.write(before.chunk(n), LARGE.subarray(0, 100));
    const after = new Intent(stream, "a");
    await after.replace(old, undefined); // nothing of its own: as a small object that replaces a large one
    assert.equal(await messages(), 7 + 3 + 1);
    await sweep(stream, chunksOf);
    assert.equal(await messages(), 11, "they may go on still");
    await sweep(stream, chunksOf, 0);
    assert.equal(await messages(), 7, "what is there is not touched");
    await rejects(before.replace(undefined, undefined), "UNAVAILABLE"); // it was alive after all, and cannot go on
    const again = new Intent(stream, "a");
    await again.replace(old, undefined);
    await stream.write(subjectOf(stream.subjects.objects, "a"), new Uint8Array(), {});
    await sweep(stream, chunksOf, 0);
    assert.equal(await messages(), 1, "the chunks of what was replaced are gone");
    await stream.close();
    await bucket.close();
    await connection.close();
  }));

test("JetStreamBucket: more objects than one request reads are listed, page by page", () =>
  withBucket(async (bucket) => {
    const keys = Array.from({ length: 2100 }, (_, i) => `objects/${String(i).padStart(4, "0")}`);
    for (let at = 0; at < keys.length; at += 100) {
      await Promise.all(keys.slice(at, at + 100).map((key) => bucket.put(key, new Uint8Array(8))));
    }
    const listed: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await bucket.list(cursor === undefined ? {} : { cursor });
      listed.push(...page.objects.map(({ key }) => key));
      cursor = page.cursor;
    } while (cursor !== undefined);
    assert.deepEqual(listed, keys);
  }));
