/**
 * The conformance suite of buckets.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import type { Bucket, BucketObject, GetOptions, ListPage, PutOptions } from "../bucket/mod.ts";
import { hasCode } from "../errors.ts";
import { check, type ConformanceCase, fails, same } from "./check.ts";
import {
  bytes,
  cut,
  equalBytes,
  expectObject,
  inOrder,
  keysOf,
  listAll,
  ODD_KEYS,
  read,
  RISKY_KEYS,
  streamed,
} from "./bucket_kit.ts";

/** An empty bucket to be tested, and its removal. */
export interface BucketUnderTest {
  /** The bucket. */
  readonly bucket: Bucket;
  /** Called in the end. */
  cleanUp(): Promise<void>;
}

/**
 * The suite for buckets.
 *
 * @param make makes an empty bucket
 */
export function bucketConformance(make: () => Promise<BucketUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (bucket: Bucket) => Promise<void>) =>
    cases.push({
      name,
      async run() {
        const { bucket, cleanUp } = await make();
        try {
          await body(bucket);
        } finally {
          await cleanUp();
        }
      },
    });

  add("an empty bucket", async (bucket) => {
    same(await bucket.get("none"), undefined, "an object that is not there");
    same(await bucket.get("none", { range: { start: 5 } }), undefined, "a part of an object that is not there");
    await bucket.delete([]);
    await bucket.delete(["none", "none either"]);
    const page = await bucket.list();
    same(page.objects.length, 0, "objects");
    same(page.cursor, undefined, "cursor");
    same((await bucket.list({ prefix: "no" })).objects.length, 0, "objects with a prefix");
  });

  add("what was put is there", async (bucket) => {
    const put = await bucket.put("some/object", bytes(1000));
    check(put !== undefined, "it was put");
    same(put.key, "some/object", "key");
    same(put.size, 1000, "size");
    check(put.etag.length > 0, "it has an ETag");
    await expectObject(bucket, "some/object", bytes(1000), put);
    const [listed] = (await bucket.list()).objects;
    same(`${listed?.key} ${listed?.size} ${listed?.etag}`, `some/object 1000 ${put.etag}`, "what the list says");
    same(await bucket.get("some"), undefined, "what is before the slash");
    same(await bucket.get("some/"), undefined, "what is before and with the slash");
    same(await bucket.get("some/object/more"), undefined, "what is after it");
  });

  add("an object is replaced", async (bucket) => {
    const first = await bucket.put("key", bytes(1000));
    const second = await bucket.put("key", bytes(900, 2));
    check(first?.etag !== second?.etag, "it has another ETag");
    await expectObject(bucket, "key", bytes(900, 2), second);
    same((await bucket.list()).objects.length, 1, "objects");
  });

  add("an object of no bytes", async (bucket) => {
    await expectObject(bucket, "array", new Uint8Array(), await bucket.put("array", new Uint8Array()));
    await expectObject(bucket, "stream", new Uint8Array(), await bucket.put("stream", streamed([])));
    same((await bucket.list()).objects.map(({ size }) => size).join(), "0,0", "sizes");
    await fails(() => bucket.get("array", { range: {} }).then(read), "MALFORMED");
    await fails(() => bucket.get("array", { range: { start: 0, end: 1 } }).then(read), "MALFORMED");
  });

  add("bytes may be changed once they were put", async (bucket) => {
    const buffer = bytes(3000);
    const part = buffer.subarray(1000, 2000); // a view of only a part of its buffer
    const expected = part.slice();
    await bucket.put("array", part);
    buffer.fill(0);
    await expectObject(bucket, "array", expected);
    const got = await read(await bucket.get("array"));
    got.fill(0);
    await expectObject(bucket, "array", expected);
  });

  add("ranges", async (bucket) => {
    const all = bytes(1000);
    await bucket.put("key", all);
    for (
      const [start, end] of [
        [0, 1],
        [0, 1000],
        [999, 1000],
        [10, 20],
        [500, 5000],
        [999, Number.MAX_SAFE_INTEGER],
        [undefined, 7],
        [undefined, 1001],
        [990, undefined],
        [undefined, undefined],
      ]
    ) {
      const range = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
      const found = await bucket.get("key", { range });
      same(found?.size, 1000, `size of the object, of whose bytes ${start} to ${end} are read`);
      equalBytes(await read(found), all.slice(start, end), `bytes ${start} to ${end}`);
    }
  });

  add("ranges that there are not", async (bucket) => {
    await bucket.put("key", bytes(1000));
    const bad: NonNullable<GetOptions["range"]>[] = [
      { start: 1000 },
      { start: 1000, end: 1001 },
      { start: 5000 },
      { start: 10, end: 10 },
      { start: 10, end: 9 },
      { end: 0 },
      { start: -1 },
      { start: 0.5 },
      { start: NaN },
      { end: -1 },
    ];
    for (const range of bad) await fails(() => bucket.get("key", { range }).then(read), "MALFORMED");
  });

  add("put if there is none", async (bucket) => {
    const put = await bucket.put("key", bytes(10), { ifNoneMatch: "*" });
    same(await bucket.put("key", bytes(20, 2), { ifNoneMatch: "*" }), undefined, "a second put");
    await expectObject(bucket, "key", bytes(10), put);
    await bucket.delete(["key"]);
    check(await bucket.put("key", bytes(20, 2), { ifNoneMatch: "*" }) !== undefined, "it was put once it was deleted");
    same(await bucket.put("key", streamed([bytes(20, 3)]), { ifNoneMatch: "*" }), undefined, "a stream");
    await expectObject(bucket, "key", bytes(20, 2));
  });

  add("put if it is this one still", async (bucket) => {
    const first = await bucket.put("key", bytes(10));
    const second = await bucket.put("key", bytes(20, 2), { ifMatch: first!.etag });
    check(second !== undefined, "it was put");
    same(await bucket.put("key", bytes(30, 3), { ifMatch: first!.etag }), undefined, "a put on what was before");
    same(await bucket.put("key", streamed([bytes(30, 3)]), { ifMatch: first!.etag }), undefined, "and of a stream");
    await expectObject(bucket, "key", bytes(20, 2), second);
    same(await bucket.put("none", bytes(30, 3), { ifMatch: first!.etag }), undefined, "a put on what never was");
    same(await bucket.get("none"), undefined, "what never was");
    const [listed] = (await bucket.list()).objects;
    const third = await bucket.put("key", bytes(40, 4), { ifMatch: listed!.etag });
    check(third !== undefined, "it was put with the ETag of the list");
    const got = await bucket.get("key");
    await got!.body.cancel();
    check(await bucket.put("key", bytes(50, 5), { ifMatch: got!.etag }) !== undefined, "and with that of a get");
    await bucket.delete(["key"]);
    same(await bucket.put("key", bytes(60, 6), { ifMatch: third.etag }), undefined, "a put on what was deleted");
  });

  add("of many who put at once on a condition, one does", async (bucket) => {
    const race = async (seed: number, options: PutOptions) => { // other bytes each time, else the ETag may be the same
      const results = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
        try {
          return await bucket.put("key", bytes(5000 + i, seed + i), options);
        } catch (error) {
          if (hasCode(error, "UNAVAILABLE")) return undefined; // the bucket may refuse one of two at once as transient
          throw error;
        }
      }));
      const winners = results.flatMap((put, i) => put === undefined ? [] : [{ put, i }]);
      same(winners.length, 1, "winners");
      const [{ put, i }] = winners as [{ put: BucketObject; i: number }];
      await expectObject(bucket, "key", bytes(5000 + i, seed + i), put);
      return put;
    };
    let last = await race(1, { ifNoneMatch: "*" });
    last = await race(100, { ifMatch: last.etag });
    await bucket.put("key", bytes(7, 77));
    check(await bucket.put("key", bytes(8, 88), { ifMatch: last.etag }) === undefined, "the last of them is no more");
  });

  add("a large object, as an array and as a stream of unknown length", async (bucket) => {
    const all = bytes(20 * 1024 * 1024 + 12_345);
    await expectObject(bucket, "array", all, await bucket.put("array", all));
    const put = await bucket.put("stream", streamed(cut(all, [1, 65_536, 0, 1_000_003, 13, 5_000_000])));
    same(put?.size, all.length, "size of the stream");
    await expectObject(bucket, "stream", all, put);
    const at = 8 * 1024 * 1024 - 5; // where a part may end
    equalBytes(
      await read(await bucket.get("stream", { range: { start: at, end: at + 10 } })),
      all.slice(at, at + 10),
      "a range",
    );
    const refused = await bucket.put("stream", streamed(cut(all.slice(1), [1_000_000])), { ifNoneMatch: "*" });
    same(refused, undefined, "a large stream that is not to be put");
    await expectObject(bucket, "stream", all, put);
    const replaced = await bucket.put("stream", streamed(cut(all.slice(1), [1_000_000])), { ifMatch: put!.etag });
    await expectObject(bucket, "stream", all.slice(1), replaced);
    same((await bucket.list()).objects.map(({ size }) => size).join(), `${all.length},${all.length - 1}`, "sizes");
  });

  add("a stream of exactly some MiB, in pieces of some", async (bucket) => {
    const all = bytes(16 * 1024 * 1024);
    await expectObject(bucket, "key", all, await bucket.put("key", streamed(cut(all, [8 * 1024 * 1024]))));
  });

  add("a stream that fails leaves what was there", async (bucket) => {
    const put = await bucket.put("key", bytes(10));
    for (const length of [100, 17 * 1024 * 1024]) {
      const failing = () =>
        ReadableStream.from((function* () {
          yield* cut(bytes(length), [1_000_000]);
          throw new Error("The source failed");
        })());
      for (const key of ["key", "other"]) {
        const failed = await bucket.put(key, failing()).then(() => false, () => true);
        check(failed, "the put fails");
      }
    }
    await expectObject(bucket, "key", bytes(10), put);
    same(await bucket.get("other"), undefined, "what was never put");
    same((await bucket.list()).objects.length, 1, "objects");
  });

  add("odd keys", async (bucket) => {
    for (const [i, key] of ODD_KEYS.entries()) await bucket.put(key, bytes(i + 1, i + 1));
    for (const [i, key] of ODD_KEYS.entries()) await expectObject(bucket, key, bytes(i + 1, i + 1));
    same(keysOf(await listAll(bucket, {})), inOrder(ODD_KEYS), "the list, in the order of the keys' bytes");
    for (const prefix of ["a", "a/", "a%", "a+", "a ", "ä", "long/x", "日本/", "😀", "a/b/"]) {
      const expected = inOrder(ODD_KEYS.filter((key) => key.startsWith(prefix)));
      same(keysOf(await listAll(bucket, { prefix })), expected, `the list of ${prefix}`);
    }
    same(keysOf(await listAll(bucket, { limit: 3 })), inOrder(ODD_KEYS), "the list by threes");
    await bucket.delete(ODD_KEYS.slice(1));
    same(keysOf(await listAll(bucket, {})), ODD_KEYS[0], "what was not deleted");
  });

  add("keys that lead elsewhere", async (bucket) => {
    const others = ["secret", "a/secret", "b", "a/b", "c"];
    for (const key of others) await bucket.put(key, bytes(5));
    for (const key of RISKY_KEYS) {
      try {
        await bucket.put(key, bytes(6, 6));
      } catch (error) {
        check(hasCode(error, "MALFORMED", "UNAVAILABLE"), `${JSON.stringify(key)} is refused: ${String(error)}`);
        continue;
      }
      await expectObject(bucket, key, bytes(6, 6));
      same(keysOf(await listAll(bucket, {})), inOrder([...others, key]), `the list with ${JSON.stringify(key)}`);
      await bucket.delete([key]);
      same(await bucket.get(key), undefined, "what was deleted");
    }
    for (const key of others) await expectObject(bucket, key, bytes(5));
    same(keysOf(await listAll(bucket, {})), inOrder(others), "what is left");
  });

  add("keys that there are not", async (bucket) => {
    for (const key of ["", "x".repeat(1025), "ü".repeat(513), "a\ud800b"]) {
      await fails(() => bucket.put(key, bytes(1)), "MALFORMED");
      await fails(() => bucket.get(key), "MALFORMED");
      await fails(() => bucket.delete(["other", key]), "MALFORMED");
    }
  });

  add("1,001 objects: pages, cursors, and all deleted at once", async (bucket) => {
    const keys = Array.from({ length: 1001 }, (_, i) => `${i % 2 === 0 ? "even" : "odd"}/${i}`);
    for (let i = 0; i < keys.length; i += 20) {
      await Promise.all(keys.slice(i, i + 20).map((key) => bucket.put(key, bytes(10))));
    }
    const pages: ListPage[] = [];
    same(keysOf(await listAll(bucket, {}, pages)), inOrder(keys), "all of them");
    check(pages.length >= 2, "a page has no more than 1,000");
    pages.length = 0;
    const odd = inOrder(keys.filter((key) => key.startsWith("odd/")));
    same(keysOf(await listAll(bucket, { prefix: "odd/", limit: 100 }, pages)), odd, "the odd ones");
    check(pages.every(({ objects }) => objects.length <= 100), "no page has more than was asked for");
    check(pages.slice(0, -1).every(({ cursor }) => cursor !== undefined), "each but the last has a cursor");
    same((await bucket.list({ limit: 1 })).objects[0]?.key, "even/0", "the first");
    for (const limit of [0, 1001, 1.5]) await fails(() => bucket.list({ limit }), "MALFORMED");

    const first = await bucket.list({ prefix: "even/", limit: 200 });
    await bucket.delete(first.objects.map(({ key }) => key));
    const rest = await listAll(bucket, { prefix: "even/", cursor: first.cursor! });
    same(rest.length, 301, "what follows a page that was deleted");
    await bucket.delete(["none", ...keys]);
    same((await bucket.list()).objects.length, 0, "what is left");
  });

  add("a signal that has fired", async (bucket) => {
    await bucket.put("key", bytes(10));
    const signal = AbortSignal.abort(new Error("No more"));
    await fails(() => bucket.get("key", { signal }), "CANCELLED");
    await fails(() => bucket.put("key", bytes(20), { signal }), "CANCELLED");
    await fails(() => bucket.put("key", streamed([bytes(20)]), { signal }), "CANCELLED");
    await fails(() => bucket.delete(["key"], { signal }), "CANCELLED");
    await fails(() => bucket.list({ signal }), "CANCELLED");
    await expectObject(bucket, "key", bytes(10));
  });

  add("a signal that fires while a body is read", async (bucket) => {
    await bucket.put("key", bytes(8 * 1024 * 1024));
    const controller = new AbortController();
    const reader = (await bucket.get("key", { signal: controller.signal }))!.body.getReader();
    await reader.read();
    controller.abort(new Error("No more"));
    await fails(async () => {
      while (!(await reader.read()).done);
    }, "CANCELLED");
    await expectObject(bucket, "key", bytes(8 * 1024 * 1024));
  });

  add("a signal that fires while a stream gives nothing", async (bucket) => {
    for (const length of [100, 17 * 1024 * 1024]) {
      const controller = new AbortController();
      let isCancelled = () => {};
      const wasCancelled = new Promise<void>((resolve) => isCancelled = resolve);
      const parts = cut(bytes(length), [1_000_000]);
      const stalled = new ReadableStream<Uint8Array>({
        pull(source) {
          const { done, value } = parts.next();
          if (!done) return source.enqueue(value);
          controller.abort(new Error("No more"));
          return new Promise(() => {});
        },
        cancel: () => isCancelled(),
      }, { highWaterMark: 0 });
      await fails(() => bucket.put("key", stalled, { signal: controller.signal }), "CANCELLED");
      await wasCancelled;
      same(await bucket.get("key"), undefined, "what was never put");
    }
  });

  add("a body that is not read", async (bucket) => {
    await bucket.put("key", bytes(8 * 1024 * 1024));
    for (let i = 0; i < 10; i++) await (await bucket.get("key"))!.body.cancel();
    const reader = (await bucket.get("key", { range: { start: 5 } }))!.body.getReader();
    await reader.read();
    await reader.cancel();
    await expectObject(bucket, "key", bytes(8 * 1024 * 1024));
  });

  add("many reads at once", async (bucket) => {
    const all = bytes(2 * 1024 * 1024);
    await bucket.put("key", all);
    await Promise.all(Array.from({ length: 16 }, async (_, i) => {
      const range = { start: i * 131_072, end: (i + 1) * 131_072 };
      equalBytes(await read(await bucket.get("key", { range })), all.slice(range.start, range.end), `part ${i}`);
    }));
  });
  return cases;
}
