import { createHash } from "node:crypto";
import { S3Bucket } from "../../src/bucket/s3/bucket.ts";
import { S3Connection } from "../../src/bucket/s3/connection.ts";
import { uploadParts } from "../../src/bucket/s3/multipart.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { newBucket } from "./kit.ts";
import { type Asked, refusal, withAnswers, xml } from "./wrong_s3.ts";

const MIB = 1024 * 1024;

function digest(algorithm: string, bytes: Uint8Array, encoding: "hex" | "base64"): string {
  return createHash(algorithm).update(bytes).digest(encoding);
}

/** Answers as S3 does to an upload in parts, but where it is told otherwise. */
function uploads(
  otherwise: (asked: Asked) => Response | undefined | void | Promise<Response | undefined>,
): (asked: Asked) => Promise<Response> {
  return async (asked) => {
    const answer = await otherwise(asked);
    if (answer instanceof Response) return answer;
    if (asked.method === "DELETE") return new Response(null, { status: 204 });
    if (asked.target.includes("uploads=")) {
      return xml("InitiateMultipartUploadResult", "<UploadId>the upload</UploadId>");
    }
    if (asked.method === "POST") return xml("CompleteMultipartUploadResult", "<ETag>&quot;whole-3&quot;</ETag>");
    return new Response(null, { headers: { ETag: '"part"' } });
  };
}

const isComplete = ({ method, target }: Asked) => method === "POST" && target.includes("uploadId=");
const isAbort = ({ method, target }: Asked) => method === "DELETE" && target.includes("uploadId=the%20upload");

test("S3: a body goes up with its length and its digests", async () => {
  const body = noise(1000, 1);
  const [asked] = await withAnswers(() => new Response(null, { headers: { ETag: '"e"' } }), async (bucket) => {
    assert.deepEqual(await bucket.put("a b/ü+", body, { ifNoneMatch: "*" }), {
      key: "a b/ü+",
      size: 1000,
      etag: '"e"',
    });
  });
  const { method, target, headers } = asked!;
  assert.equal(`${method} ${target}`, "PUT /bucket/a%20b/%C3%BC%2B");
  assert.deepEqual(asked!.body, body);
  assert.equal(headers.get("Content-Length"), "1000");
  assert.equal(headers.get("X-Amz-Content-Sha256"), digest("sha256", body, "hex"));
  assert.equal(headers.get("X-Amz-Checksum-Sha256"), digest("sha256", body, "base64"));
  assert.equal(headers.get("If-None-Match"), "*");
  assert.match(headers.get("Authorization")!, /SignedHeaders=[^,]*if-none-match[^,]*x-amz-content-sha256/);
});

test("S3: a deletion goes up with both digests, a thousand keys at a time", async () => {
  const keys = Array.from({ length: 2500 }, (_, i) => `key & ${i}`);
  const asked = await withAnswers(() => xml("DeleteResult", ""), (bucket) => bucket.delete(keys));
  assert.deepEqual(asked.map(({ body }) => new TextDecoder().decode(body).split("<Key>").length - 1), [
    1000,
    1000,
    500,
  ]);
  assert.include(new TextDecoder().decode(asked[2]!.body), "<Key>key &#38; 2000</Key>");
  for (const { body, headers, target } of asked) {
    assert.equal(target, "/bucket/?delete=");
    assert.equal(headers.get("Content-MD5"), digest("md5", body, "base64"));
    assert.equal(headers.get("X-Amz-Checksum-Sha256"), digest("sha256", body, "base64"));
  }
});

test("S3: ranges are asked for as they are, and not to be compressed", async () => {
  const answer = () => refusal(404, "NoSuchKey");
  const asked = await withAnswers(answer, async (bucket) => {
    await bucket.get("key");
    await bucket.get("key", { range: {} });
    await bucket.get("key", { range: { start: 5 } });
    await bucket.get("key", { range: { end: 5 } });
    await bucket.get("key", { range: { start: 5, end: 6 } });
  });
  assert.deepEqual(asked.map(({ headers }) => headers.get("Range")), [
    null,
    "bytes=0-",
    "bytes=5-",
    "bytes=0-4",
    "bytes=5-5",
  ]);
  assert.isTrue(asked.every(({ headers }) => headers.get("Accept-Encoding") === "identity"));
});

test("S3: a client may be passed in, and the bucket be in the host's name", async () => {
  const urls: string[] = [];
  const client = {
    fetch(url: string) {
      urls.push(url);
      return Promise.resolve(refusal(404, "NoSuchKey"));
    },
  };
  const styled = (endpoint: string, style: "path" | "virtual-host") =>
    new S3Bucket({ endpoint, bucket: "bucket", client, style });
  await styled("https://s3.example", "virtual-host").get("a/b");
  await styled("https://s3.example:8443/deep/", "virtual-host").get("a/b");
  await styled("https://s3.example/deep/", "path").get("a/b");
  assert.deepEqual(urls, [
    "https://bucket.s3.example/a/b",
    "https://bucket.s3.example:8443/deep/a/b",
    "https://s3.example/deep/bucket/a/b",
  ]);
});

test("S3: a stream goes up in parts of one size, a few at once", async () => {
  const body = noise(5 * 8 * MIB + 5, 1);
  let running = 0;
  let most = 0;
  const asked = await withAnswers(
    uploads(async ({ method }) => {
      if (method !== "PUT") return undefined;
      most = Math.max(most, ++running);
      await turns(50); // others come meanwhile, if they may
      running--;
      return undefined;
    }),
    async (bucket) => {
      const put = await bucket.put("key", ReadableStream.from([body]), { ifMatch: '"before"' });
      assert.deepEqual(put, { key: "key", size: body.length, etag: '"whole-3"' });
    },
  );
  const parts = asked.filter(({ method }) => method === "PUT");
  assert.deepEqual(parts.map(({ body }) => body.length).sort((a, b) => b - a), [...Array(5).fill(8 * MIB), 5]);
  assert.isTrue(
    parts.every(({ headers, body }) => headers.get("X-Amz-Content-Sha256") === digest("sha256", body, "hex")),
  );
  assert.isAtMost(most, 4);
  assert.isAtLeast(most, 2);
  const conditional = asked.filter(({ headers }) => headers.get("If-Match") === '"before"');
  assert.deepEqual(conditional, asked.filter(isComplete));
  assert.isFalse(asked.some(isAbort));
});

test("S3: an upload in parts that fails is aborted", async () => {
  const three = noise(17 * MIB, 1);
  const parts = () => ReadableStream.from([three]);
  const fails: Record<string, (asked: Asked) => Response | undefined> = {
    part: ({ target }) => target.includes("partNumber=2") ? refusal(500, "InternalError") : undefined,
    "part without an ETag": ({ target }) => target.includes("partNumber=2") ? new Response(null) : undefined,
    complete: (asked) => isComplete(asked) ? refusal(500, "InternalError") : undefined,
    "complete, in a 200": (asked) => isComplete(asked) ? refusal(200, "InternalError") : undefined,
    "complete, cut": (asked) => isComplete(asked) ? new Response("<CompleteMultipartUploadResult><ETag>a") : undefined,
    "complete, empty": (asked) => isComplete(asked) ? new Response("   \n") : undefined,
    "complete without an ETag": (asked) => isComplete(asked) ? xml("CompleteMultipartUploadResult", "") : undefined,
  };
  for (const [name, fail] of Object.entries(fails)) {
    const asked = await withAnswers(uploads(fail), async (bucket) => {
      await rejects(bucket.put("key", parts()), "UNAVAILABLE");
    });
    assert.equal(asked.filter(isAbort).length, 1, name);
    assert.isTrue(isAbort(asked.at(-1)!), `${name}: nothing comes after it`);
  }
  for (const status of [412, 200]) {
    const condition = (asked: Asked) => isComplete(asked) ? refusal(status, "PreconditionFailed") : undefined;
    const asked = await withAnswers(uploads(condition), async (bucket) => {
      assert.equal(await bucket.put("key", parts(), { ifNoneMatch: "*" }), undefined);
    });
    assert.equal(asked.filter(isAbort).length, 1);
  }
  const asked = await withAnswers(uploads(() => undefined), async (bucket) => {
    const failing = ReadableStream.from((function* () {
      yield three;
      throw new Error("The source failed");
    })());
    const failed = await bucket.put("key", failing).catch((error: Error) => error.message);
    assert.equal(failed, "The source failed");
  });
  assert.isTrue(isAbort(asked.at(-1)!));
});

test("S3: spaces before the end of an upload, which S3 sends while it is not done", async () => {
  const spaces =
    `<?xml version="1.0" encoding="UTF-8"?>\n\n   \n<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>`;
  for (const text of [spaces, `  \n\n${spaces}`]) {
    await withAnswers(uploads((asked) => isComplete(asked) ? new Response(text) : undefined), async (bucket) => {
      assert.equal((await bucket.put("key", ReadableStream.from([noise(9 * MIB, 1)])))?.etag, "e");
    });
  }
});

test("S3: an upload of more than 10,000 parts says what to do", async () => {
  let aborted = 0;
  const answer = uploads((asked) => void (aborted += isAbort(asked) ? 1 : 0));
  const client = {
    fetch: (url: string, { method }: RequestInit) => {
      const { pathname, search } = new URL(url);
      return answer({ method: method!, target: pathname + search, headers: new Headers(), body: new Uint8Array() });
    },
  };
  const connection = new S3Connection({ endpoint: "http://127.0.0.1:1", bucket: "bucket", client });
  const parts = ReadableStream.from((function* () {
    for (let i = 0; i < 10_001; i++) yield Uint8Array.of(1);
  })());
  const error = await rejects(
    uploadParts(connection, { key: "key", parts, headers: {}, signal: undefined }),
    "MALFORMED",
  );
  assert.include(error.message, "partSize");
  assert.equal(aborted, 1);
});

test("S3: giving up while it hangs", async () => {
  const hangs: [(asked: Asked) => boolean, (bucket: S3Bucket, signal: AbortSignal) => Promise<unknown>][] = [
    [({ method }) => method === "GET", (bucket, signal) => bucket.get("key", { signal })],
    [({ method }) => method === "PUT", (bucket, signal) => bucket.put("key", noise(10, 1), { signal })],
    [({ method }) => method === "GET", (bucket, signal) => bucket.list({ signal })],
    [({ method }) => method === "POST", (bucket, signal) => bucket.delete(["key"], { signal })],
    [
      isComplete,
      (bucket, signal) => bucket.put("key", ReadableStream.from([noise(9 * MIB, 1)]), { signal }),
    ],
  ];
  for (const [isHanging, call] of hangs) {
    const controller = new AbortController();
    let release = (_: Response) => {};
    const asked = await withAnswers(
      uploads((asked) => {
        if (!isHanging(asked)) return undefined;
        controller.abort();
        return new Promise<Response>((resolve) => release = resolve);
      }),
      async (bucket) => {
        await rejects(call(bucket, controller.signal), "CANCELLED");
        release(new Response(null));
      },
    );
    assert.equal(asked.some(isAbort), asked.some(isComplete));
  }
});

test("S3: nothing is left of an upload that failed", async () => {
  const bucket = await newBucket();
  const failing = ReadableStream.from((function* () {
    yield noise(20 * MIB, 1);
    throw new Error("The source failed");
  })());
  await bucket.put("key", failing).catch(() => {});
  await bucket.put("key", noise(10, 1));
  assert.equal(await bucket.put("key", ReadableStream.from([noise(20 * MIB, 1)]), { ifNoneMatch: "*" }), undefined);
  assert.deepEqual(await bytesOf((await bucket.get("key"))!.body), noise(10, 1));
});

test("S3: a key that a stranger has put, and that no address can have, is deleted with the others", async () => {
  const asked = await withAnswers(
    () => xml("DeleteResult", ""),
    async (bucket) => {
      await bucket.delete(["checks/../a", "checks/b"]);
      await rejects(() => bucket.delete(["checks/../\x01"]), "MALFORMED");
    },
  );
  assert.deepEqual(asked.map(({ method, target }) => `${method} ${target}`), ["POST /bucket/?delete="]);
  const sent = new TextDecoder().decode(asked[0]!.body);
  assert.include(sent, "<Key>checks/../a</Key></Object><Object><Key>checks/b</Key>");
});
