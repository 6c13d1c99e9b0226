import { S3Bucket } from "../../src/bucket/s3/bucket.ts";
import type { SnapshotErrorCode } from "../../mod.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { makeBucket } from "./kit.ts";
import { refusal, withAnswers } from "./wrong_s3.ts";

/** All verbs, each of which is to fail in the same way. */
async function allReject(bucket: S3Bucket, code: SnapshotErrorCode): Promise<void> {
  await rejects(bucket.get("key"), code);
  await rejects(bucket.get("key", { range: { start: 1 } }), code);
  await rejects(bucket.put("key", noise(10, 1)), code);
  await rejects(bucket.put("key", noise(10, 1), { ifNoneMatch: "*" }), code);
  await rejects(bucket.put("key", ReadableStream.from([noise(9 * 1024 * 1024, 1)])), code);
  await rejects(bucket.delete(["key", "\u0001"]), code);
  await rejects(bucket.delete(["\u0001"]), code);
  await rejects(bucket.list(), code);
}

test("S3: wrong credentials are FORBIDDEN", async () => {
  const options = await makeBucket();
  const secretAccessKey = "wrong";
  const wrongSecret = new S3Bucket({ ...options, credentials: { ...options.credentials!, secretAccessKey } });
  await allReject(wrongSecret, "FORBIDDEN");
  const error = await rejects(wrongSecret.get("key"), "FORBIDDEN");
  assert.include(error.message, "SignatureDoesNotMatch");
  assert.include(error.message, `GET key of bucket ${options.bucket}`);
  assert.equal(error.fields.status, 403);
  assert.include(error.source!, options.endpoint);
  const credentials = { accessKeyId: "AKIAUNKNOWN", secretAccessKey };
  await allReject(new S3Bucket({ ...options, credentials }), "FORBIDDEN");
});

test("S3: a bucket that there is not is NOT_FOUND, and not an object that there is not", async () => {
  const bucket = new S3Bucket({ ...await makeBucket(), bucket: "no-such-bucket" });
  await allReject(bucket, "NOT_FOUND");
  assert.include((await rejects(bucket.list(), "NOT_FOUND")).message, "NoSuchBucket");
});

test("S3: nobody there is UNAVAILABLE", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const endpoint = `http://127.0.0.1:${listener.addr.port}`;
  listener.close();
  await allReject(new S3Bucket({ ...await makeBucket(), endpoint }), "UNAVAILABLE");
});

test("S3: what it refuses has the code that the contract says", async () => {
  const cases: [number, string, SnapshotErrorCode][] = [
    [400, "InvalidArgument", "MALFORMED"],
    [400, "KeyTooLongError", "MALFORMED"],
    [400, "EntityTooLarge", "MALFORMED"],
    [409, "ObjectParentIsFile", "MALFORMED"],
    [400, "SomethingNewThatIsWrong", "MALFORMED"],
    [400, "ExpiredToken", "FORBIDDEN"],
    [400, "ExpiredRequest", "FORBIDDEN"],
    [409, "ObjectLockedByBucketPolicy", "FORBIDDEN"],
    [400, "ClientDisconnect", "UNAVAILABLE"],
    [400, "AuthorizationHeaderMalformed", "FORBIDDEN"],
    [400, "RequestTimeout", "UNAVAILABLE"],
    [400, "BadDigest", "UNAVAILABLE"],
    [400, "XAmzContentSHA256Mismatch", "UNAVAILABLE"],
    [401, "Unauthorized", "FORBIDDEN"],
    [403, "AccessDenied", "FORBIDDEN"],
    [403, "RequestTimeTooSkewed", "FORBIDDEN"],
    [403, "QuotaExceeded", "NO_SPACE"],
    [507, "InsufficientStorage", "NO_SPACE"],
    [404, "NoSuchBucket", "NOT_FOUND"],
    [301, "PermanentRedirect", "NOT_FOUND"],
    [307, "TemporaryRedirect", "UNAVAILABLE"],
    [405, "MethodNotAllowed", "UNSUPPORTED"],
    [501, "NotImplemented", "UNSUPPORTED"],
    [408, "RequestTimeout", "UNAVAILABLE"],
    [409, "OperationAborted", "UNAVAILABLE"],
    [409, "ConditionalRequestConflict", "UNAVAILABLE"],
    [429, "TooManyRequests", "UNAVAILABLE"],
    [500, "InternalError", "UNAVAILABLE"],
    [503, "SlowDown", "UNAVAILABLE"],
  ];
  let [status, said, code] = cases[0]!;
  const elsewhere = { Location: "http://elsewhere.example/" }; // a redirect to another service is not followed
  await withAnswers(() => refusal(status, said, status < 400 ? elsewhere : {}), async (bucket) => {
    for ([status, said, code] of cases) {
      await allReject(bucket, code);
      const error = await rejects(bucket.list(), code);
      assert.include(error.message, `${status} ${said} Sorry & no`);
      assert.equal(error.fields.status, status);
    }
  });
});

test("S3: the error names the bucket's region and the request, and no more of an answer than fits an error", async () => {
  const headers = { "x-amz-bucket-region": "eu-west-1", "x-amz-request-id": "4442587FB7D0A2F9" };
  await withAnswers(() => refusal(301, "PermanentRedirect", headers), async (bucket) => {
    const { message } = await rejects(bucket.list(), "NOT_FOUND");
    assert.match(message, /is in region eu-west-1 \(request 4442587FB7D0A2F9\)$/);
  });
  const odd = { "x-amz-bucket-region": "a b", "x-amz-request-id": "x".repeat(101) };
  await withAnswers(() => refusal(403, "A".repeat(50_000), odd), async (bucket) => {
    const { message } = await rejects(bucket.list(), "FORBIDDEN");
    assert.isBelow(message.length, 1500);
    assert.notMatch(message, /region a|request x/);
  });
});

test("S3: nothing is tried twice", async () => {
  const asked = await withAnswers(() => refusal(503, "SlowDown"), async (bucket) => {
    await rejects(bucket.put("key", noise(10, 1)), "UNAVAILABLE");
    await rejects(bucket.get("key"), "UNAVAILABLE");
  });
  assert.equal(asked.length, 2);
});

test("S3: how long to wait is passed on", async () => {
  const later = new Date(Date.now() + 60_000).toUTCString();
  let value = "2";
  await withAnswers(() => refusal(503, "SlowDown", { "Retry-After": value }), async (bucket) => {
    assert.equal((await rejects(bucket.get("key"), "UNAVAILABLE")).fields.retryAfter, 2000);
    value = later;
    assert.approximately((await rejects(bucket.get("key"), "UNAVAILABLE")).fields.retryAfter!, 59_000, 2000);
    value = "soon";
    assert.equal((await rejects(bucket.get("key"), "UNAVAILABLE")).fields.retryAfter, undefined);
  });
});

test("S3: conditions that do not hold", async () => {
  let answer = () => refusal(412, "PreconditionFailed");
  await withAnswers(() => answer(), async (bucket) => {
    assert.equal(await bucket.put("key", noise(10, 1), { ifNoneMatch: "*" }), undefined);
    assert.equal(await bucket.put("key", noise(10, 1), { ifMatch: '"a"' }), undefined);
    answer = () => new Response(null, { status: 412 });
    assert.equal(await bucket.put("key", noise(10, 1), { ifMatch: '"a"' }), undefined);
    answer = () => refusal(404, "NoSuchKey");
    assert.equal(await bucket.put("key", noise(10, 1), { ifMatch: '"a"' }), undefined);
    await rejects(bucket.put("key", noise(10, 1)), "UNAVAILABLE");
  });
});

test("S3: what cannot be an S3 is MALFORMED", async () => {
  const credentials = { accessKeyId: "id", secretAccessKey: "secret" };
  const good = { endpoint: "http://127.0.0.1:1", bucket: "bucket", credentials };
  const client = { fetch: () => Promise.reject(new Error("Not asked")) };
  const bad: Partial<ConstructorParameters<typeof S3Bucket>[0]>[] = [
    { endpoint: "nowhere" },
    { bucket: "" },
    { bucket: "a/b" },
    { client },
    { partSize: 1024 },
    { partSize: Infinity },
  ];
  for (const options of bad) await rejects(() => new S3Bucket({ ...good, ...options }), "MALFORMED");
  await rejects(() => new S3Bucket({ endpoint: good.endpoint, bucket: "bucket" }), "MALFORMED");
  assert.instanceOf(new S3Bucket({ endpoint: good.endpoint, bucket: "bucket", client }), S3Bucket);
});
