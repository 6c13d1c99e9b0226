// Services that are like S3, and what stands between: redirects, clocks, weak ETags, headers that one does not take.

import { S3Bucket } from "../../src/object.ts";
import { SnapshotError } from "../../mod.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { refusal, withAnswers, xml } from "./wrong_s3.ts";

const BODY = noise(1000, 1);
const put = () => new Response(null, { headers: { ETag: '"e"' } });

test("S3: a temporary redirect is followed within the service, signed anew for its address", async () => {
  for (const status of [307, 308]) {
    const asked = await withAnswers(
      ({ target }) =>
        target.startsWith("/elsewhere/")
          ? put()
          : new Response(null, { status, headers: { Location: `/elsewhere${target}` } }),
      async (bucket) => assert.equal((await bucket.put("key", BODY, { ifNoneMatch: "*" }))?.etag, '"e"'),
    );
    assert.deepEqual(asked.map(({ method, target }) => `${method} ${target}`), [
      "PUT /bucket/key",
      "PUT /elsewhere/bucket/key",
    ]);
    assert.deepEqual(asked[1]!.body, BODY);
    assert.equal(asked[1]!.headers.get("If-None-Match"), "*");
    const signatures = asked.map(({ headers }) => headers.get("Authorization"));
    assert.notEqual(signatures[0], signatures[1]);
  }
});

test("S3: a redirect that leads elsewhere, nowhere, or on and on ends with what it says", async () => {
  for (
    const location of [
      "http://other.example/bucket/key",
      "https://127.0.0.1/bucket/key",
      "ftp://a",
      "http://[",
      undefined,
    ]
  ) {
    const asked = await withAnswers(
      () => new Response(null, { status: 307, headers: location === undefined ? {} : { Location: location } }),
      async (bucket) => assert.equal((await rejects(() => bucket.put("key", BODY), "UNAVAILABLE")).fields.status, 307),
    );
    assert.equal(asked.length, 1, location);
  }
  const asked = await withAnswers(
    ({ target }) => new Response(null, { status: 307, headers: { Location: `${target}x` } }),
    async (bucket) => void await rejects(() => bucket.put("key", BODY), "UNAVAILABLE"),
  );
  assert.equal(asked.length, 4);
});

test("S3: of an endpoint nothing is dropped in silence, and no message has a secret", () => {
  const credentials = { accessKeyId: "key", secretAccessKey: "secret" };
  const wrong = [
    ...["https://key:secret@host:99999", "https://key:secret@host/", "https://host/?token=secret", "host:9000"],
    ...["https://host/#secret", "ftp://key:secret@host/", "file:///x", `https://host${"/".repeat(60_000)}?secret`],
  ];
  for (const endpoint of wrong) {
    let error: unknown;
    try {
      new S3Bucket({ endpoint, bucket: "bucket", credentials });
    } catch (thrown) {
      error = thrown;
    }
    assert.instanceOf(error, SnapshotError, endpoint.slice(0, 60));
    assert.equal((error as SnapshotError).code, "MALFORMED");
    assert.notInclude(JSON.stringify(error), "secret");
  }
});

test("S3: a path of 300,000 slashes in an endpoint is looked at once", async () => {
  const asked: string[] = [];
  const client = {
    fetch(url: string) {
      asked.push(url);
      return Promise.resolve(new Response(null, { headers: { ETag: '"e"' } }));
    },
  };
  const slashes = "/".repeat(300_000); // each looked at again and again would take minutes
  const bucket = new S3Bucket({ endpoint: `https://host/a${slashes}b${slashes}`, bucket: "bucket", client });
  await bucket.put("key", BODY);
  assert.deepEqual(asked, [`https://host/a${slashes}b/bucket/key`]);
});

test("S3: a clock that is wrong is corrected by the service's, once", async () => {
  const dateOf = (headers: Headers) => {
    const text = headers.get("X-Amz-Date")!;
    return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  };
  const there = Date.now() + 3 * 3600_000; // the service's clock
  for (const [status, code] of [[403, "RequestTimeTooSkewed"], [400, "ExpiredRequest"]] as const) {
    const asked = await withAnswers(
      ({ headers }) =>
        Math.abs(dateOf(headers) - there) < 900_000
          ? put()
          : refusal(status, code, { Date: new Date(there).toUTCString() }),
      async (bucket) => {
        await bucket.put("a", BODY);
        await bucket.put("b", BODY);
      },
    );
    assert.deepEqual(asked.map(({ target }) => target), ["/bucket/a", "/bucket/a", "/bucket/b"]);
  }
  for (const headers of [{}, { Date: "today" }]) {
    const refused = await withAnswers(
      () => refusal(403, "RequestTimeTooSkewed", headers),
      async (bucket) => assert.match((await rejects(() => bucket.put("a", BODY), "FORBIDDEN")).message, /the clock/),
    );
    assert.isAtMost(refused.length, 2);
  }
});

test("S3: an ETag that a proxy has made weak is as the service gave it", async () => {
  const answers = [
    () => new Response("body", { headers: { ETag: 'W/"e"', "Content-Length": "4" } }),
    () =>
      xml(
        "ListBucketResult",
        '<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>4</Size><ETag>W/"e"</ETag></Contents>',
      ),
    () => new Response(null, { headers: { ETag: 'W/"f"' } }),
  ];
  const asked = await withAnswers((_, number) => answers[number]!(), async (bucket) => {
    const found = await bucket.get("k");
    await bytesOf(found!.body);
    assert.equal(found!.etag, '"e"');
    assert.deepEqual((await bucket.list()).objects, [{ key: "k", size: 4, etag: '"e"' }]);
    assert.equal((await bucket.put("k", BODY, { ifMatch: found!.etag }))!.etag, '"f"');
  });
  assert.equal(asked[2]!.headers.get("If-Match"), '"e"');
});

test("S3: without checksums no header has them, as Backblaze B2 wants it", async () => {
  const answers = [put, () => xml("DeleteResult", "")];
  const asked = await withAnswers((_, number) => answers[number]!(), async (bucket) => {
    await bucket.put("k", BODY);
    await bucket.delete(["k"]);
  }, { checksums: false });
  for (const { headers } of asked) {
    assert.deepEqual([...headers.keys()].filter((name) => /checksum|sdk/i.test(name)), []);
    assert.isNotNull(headers.get("X-Amz-Content-Sha256"));
  }
  assert.isNotNull(asked[1]!.headers.get("Content-MD5"));
  const wrong = "no" as unknown as boolean;
  await rejects(() => withAnswers(put, async () => {}, { checksums: wrong }), "MALFORMED");
});
