// A real server behind a network that fails: whatever goes wrong, what was acknowledged is there, and what is read is right.

import { S3Bucket } from "../../src/bucket/s3/bucket.ts";
import { hasCode } from "../../mod.ts";
import { equal } from "../../src/stream/mod.ts";
import { Random } from "../support/random.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { type ProxyFault, startProxy } from "./faulty_proxy.ts";
import { ENDPOINT, makeBucket } from "./kit.ts";

const FAULTS: readonly ProxyFault[] = ["before", "after", "lost", "twice", "cut", "flipped", "portal"];

/** Does something with a bucket behind a proxy, and with the same one not behind it. */
async function behindProxy(
  choose: (method: string, target: string) => ProxyFault | undefined,
  work: (faulty: S3Bucket, direct: S3Bucket) => Promise<void>,
): Promise<Map<ProxyFault, number>> {
  const options = await makeBucket();
  const proxy = await startProxy(ENDPOINT, choose);
  try {
    await work(new S3Bucket({ ...options, endpoint: proxy.endpoint }), new S3Bucket(options));
  } finally {
    await proxy.stop();
  }
  return proxy.counts;
}

async function read(bucket: S3Bucket, key: string): Promise<Uint8Array | undefined> {
  const found = await bucket.get(key);
  return found && await bytesOf(found.body);
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equal(a, b);
}

test("S3 behind a proxy: each fault of a put", async () => {
  let fault: ProxyFault | undefined;
  await behindProxy(() => fault, async (faulty, direct) => {
    const isDone: Record<ProxyFault, boolean> = {
      before: false,
      after: true,
      lost: true,
      twice: true,
      cut: true,
      flipped: false,
      portal: false,
    };
    for (const [name, done] of Object.entries(isDone) as [ProxyFault, boolean][]) {
      fault = name;
      if (name === "twice") {
        assert.equal(
          await faulty.put(name, noise(10_000, 1), { ifNoneMatch: "*" }),
          undefined,
          "the second is refused",
        );
      } else if (name === "cut") {
        assert.exists(await faulty.put(name, noise(10_000, 1))); // there is no body to be cut
      } else {
        const error = await rejects(faulty.put(name, noise(10_000, 1), { ifNoneMatch: "*" }), "UNAVAILABLE");
        if (name === "before") assert.equal(error.fields.retryAfter, 1000);
        if (name === "flipped") assert.include(error.message, "XAmzContentSHA256Mismatch");
      }
      assert.deepEqual(await read(direct, name), done ? noise(10_000, 1) : undefined, name);
    }
  });
});

test("S3 behind a proxy: each fault of a get, of a list and of a delete", async () => {
  let fault: ProxyFault | undefined;
  await behindProxy(() => fault, async (faulty, direct) => {
    await direct.put("key", noise(1_000_000, 1));
    for (fault of ["before", "after", "lost", "cut", "portal"] as const) {
      await rejects(read(faulty, "key"), "UNAVAILABLE");
      await rejects(faulty.list(), "UNAVAILABLE");
    }
    for (fault of ["before", "flipped", "portal"] as const) {
      await rejects(faulty.delete(["key"]), "UNAVAILABLE");
      assert.exists(await read(direct, "key"));
    }
    for (fault of ["after", "lost", "cut"] as const) {
      await direct.put("key", noise(1_000_000, 1));
      await rejects(faulty.delete(["key"]), "UNAVAILABLE");
      assert.equal(await read(direct, "key"), undefined);
    }
    fault = "twice";
    await direct.put("key", noise(1_000_000, 1));
    await faulty.delete(["key"]);
    assert.equal(await read(faulty, "key"), undefined);
  });
});

test("S3 behind a proxy: faults of uploads in parts, by seeds", async () => {
  for (const seed of [1, 2]) {
    const random = new Random(seed);
    const counts = await behindProxy(
      () => random.chance(0.15) ? random.pick(FAULTS) : undefined,
      async (faulty, direct) => {
        let put = 0;
        for (let round = 1; round <= 5; round++) {
          const body = noise(9 * 1024 * 1024 + round, round);
          const before = await read(direct, "key");
          let acknowledged = true;
          try {
            await faulty.put("key", ReadableStream.from([body]));
          } catch (error) {
            assert.isTrue(hasCode(error, "UNAVAILABLE"), `${error}`);
            acknowledged = false;
          }
          const after = await read(direct, "key");
          const seen = after?.length === body.length;
          const isRight = same(after, seen ? body : before);
          assert.isTrue(isRight, `seed ${seed}, round ${round}`);
          if (acknowledged) assert.isTrue(seen, `seed ${seed}, round ${round} was acknowledged`);
          if (seen) put++;
          try {
            const found = await read(faulty, "key");
            assert.isTrue(same(found, after), "what is read behind it is what is there");
          } catch (error) {
            assert.isTrue(hasCode(error, "UNAVAILABLE"), `${error}`);
          }
        }
        assert.isAbove(put, 0);
      },
    );
    assert.isAbove([...counts.values()].reduce((sum, count) => sum + count, 0), 0);
  }
});
