import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { refusal, withAnswers, xml } from "./wrong_s3.ts";

const ALL = noise(1000, 1);
const HTML = "<!DOCTYPE html><html><head><title>Portal</title></head><body>Welcome<br></body></html>";

function page(html = HTML, status = 200): Response {
  return new Response(html, { status, headers: { "Content-Type": "text/html" } });
}

function part(body: BodyInit, range: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status: 206, headers: { ETag: '"e"', "Content-Range": range, ...headers } });
}

test("S3: a 404 of somebody else's does not say that there is no object", async () => {
  await withAnswers(() => page(HTML, 404), async (bucket) => {
    await rejects(bucket.get("key"), "UNAVAILABLE");
    await rejects(bucket.put("key", ALL, { ifMatch: '"e"' }), "UNAVAILABLE");
  });
  await withAnswers(() => new Response(null, { status: 404 }), async (bucket) => {
    await rejects(bucket.get("key"), "UNAVAILABLE");
  });
  await withAnswers(() => refusal(404, "NoSuchKey"), async (bucket) => {
    assert.equal(await bucket.get("key"), undefined);
  });
});

test("S3: HTML where XML should be", async () => {
  await withAnswers(() => page(), async (bucket) => {
    await rejects(bucket.list(), "UNAVAILABLE");
    await rejects(bucket.delete(["key"]), "UNAVAILABLE");
    await rejects(bucket.put("key", ALL), "UNAVAILABLE");
    await rejects(bucket.put("key", ReadableStream.from([noise(9 * 1024 * 1024, 1)])), "UNAVAILABLE");
    await rejects(bucket.get("key"), "UNAVAILABLE"); // no ETag
  });
  await withAnswers(() => page("Go away", 403), async (bucket) => {
    await rejects(bucket.list(), "FORBIDDEN");
  });
});

test("S3: XML that never ends, is too deep, or would grow", async () => {
  let cancelled = false;
  const endless = () => {
    let sent = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ === 0) controller.enqueue(new TextEncoder().encode("<ListBucketResult>"));
        controller.enqueue(new TextEncoder().encode("<Contents><Key>a</Key></Contents>".repeat(3000)));
      },
      cancel: () => void (cancelled = true),
    });
  };
  await withAnswers(() => new Response(endless()), async (bucket) => {
    const error = await rejects(bucket.list(), "UNAVAILABLE");
    assert.include(error.message, "bytes");
  });
  assert.isTrue(cancelled);
  const tenMegabytes = `<ListBucketResult>${" ".repeat(10_000_000)}</ListBucketResult>`;
  await withAnswers(() => new Response(tenMegabytes), async (bucket) => {
    await rejects(bucket.list(), "UNAVAILABLE");
  });
  await withAnswers(() => new Response(tenMegabytes, { status: 503 }), async (bucket) => {
    await rejects(bucket.list(), "UNAVAILABLE");
  });
  const entities = Array.from({ length: 20 }, (_, i) => `<!ENTITY e${i + 1} "&e${i};&e${i};&e${i};&e${i};">`).join("");
  for (
    const text of [
      "<a>".repeat(1_000_000),
      `${"<a>".repeat(200_000)}${"</a>".repeat(200_000)}`,
      `<!DOCTYPE x [<!ENTITY e0 "lol">${entities}]><ListBucketResult><Name>&e20;</Name></ListBucketResult>`,
      `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ListBucketResult><Name>&e;</Name></ListBucketResult>`,
      "<ListBucketResult><IsTruncated>false</IsTruncated>",
      "",
    ]
  ) {
    await withAnswers(() => new Response(text), async (bucket) => {
      await rejects(bucket.list(), "UNAVAILABLE");
    });
  }
});

test("S3: a list that is not one", async () => {
  const object = (key: string) => `<Contents><Key>${key}</Key><Size>5</Size><ETag>&quot;e&quot;</ETag></Contents>`;
  const last = "<IsTruncated>false</IsTruncated>";
  const more = "<IsTruncated>true</IsTruncated>";
  const rejected = [
    `${more}${object("a/1")}`,
    `${more}<NextContinuationToken/>${object("a/1")}`,
    `${more}<NextContinuationToken>cursor</NextContinuationToken>${object("a/1")}`,
    `${last}${object("b")}`,
    `${last}<Contents><Key>a/1</Key><ETag>e</ETag></Contents>`,
    `${last}<Contents><Key>a/1</Key><Size>-1</Size><ETag>e</ETag></Contents>`,
    `${last}<Contents><Size>1</Size><ETag>e</ETag></Contents>`,
    `${last}<EncodingType>url</EncodingType>${object("a/%")}`,
  ];
  for (const content of rejected) {
    await withAnswers(() => xml("ListBucketResult", content), async (bucket) => {
      await rejects(bucket.list({ prefix: "a/", cursor: "cursor" }), "UNAVAILABLE");
    });
  }
  const encoded = `${last}<EncodingType>url</EncodingType>${object("a/b+c%20d%2Be%C3%A4%01")}`;
  const asked = await withAnswers(() => xml("ListBucketResult", encoded), async (bucket) => {
    const { objects, cursor } = await bucket.list({ prefix: "a/", cursor: "x y+z", limit: 7 });
    assert.deepEqual(objects, [{ key: "a/b c d+eä\u0001", size: 5, etag: '"e"' }]);
    assert.equal(cursor, undefined);
  });
  assert.include(asked[0]!.target, "continuation-token=x%20y%2Bz");
  assert.include(asked[0]!.target, "max-keys=7");
  const raw = `${last}${object("a/b+c%20d")}`;
  await withAnswers(() => xml("ListBucketResult", raw), async (bucket) => {
    assert.equal((await bucket.list({ prefix: "a/" })).objects[0]?.key, "a/b+c%20d");
  });
});

test("S3: all of an object where a part was asked for is cut", async () => {
  const whole = () => new Response(ALL, { headers: { ETag: '"e"' } });
  await withAnswers(whole, async (bucket) => {
    for (const [start, end] of [[0, 1], [10, 20], [999, 1000], [500, 2000], [0, 1000]] as const) {
      const found = await bucket.get("key", { range: { start, end } });
      assert.equal(found!.size, 1000);
      assert.deepEqual(await bytesOf(found!.body), ALL.slice(start, end));
    }
    await rejects(bucket.get("key", { range: { start: 1000 } }), "MALFORMED");
  });
});

test("S3: a part that is not the one that was asked for", async () => {
  const range = { start: 10, end: 20 };
  const wrong = [
    () => part(ALL.slice(0, 10), "bytes 0-9/1000"),
    () => part(ALL.slice(11, 20), "bytes 11-19/1000"),
    () => part(ALL.slice(10, 19), "bytes 10-18/1000"),
    () => part(ALL.slice(10, 20), "bytes 19-10/1000"),
    () => part(ALL.slice(10, 20), "bytes 10-19/*"),
    () => part(ALL.slice(10, 20), "bytes 10-19/15"),
    () => part(ALL.slice(10, 20), "items 10-19/1000"),
    () => part(ALL.slice(10, 20), "bytes 10-19/1000", { ETag: "" }),
    () => part(ALL.slice(10, 20), "bytes 10-19/1000", { "Content-Encoding": "br" }),
    () => new Response(ALL.slice(10, 20), { status: 206, headers: { ETag: '"e"' } }),
  ];
  for (const answer of wrong) {
    await withAnswers(answer, async (bucket) => {
      await rejects(bucket.get("key", { range }), "UNAVAILABLE");
    });
  }
  await withAnswers(() => part(ALL.slice(0, 500), "bytes 0-499/1000"), async (bucket) => {
    assert.deepEqual(await bytesOf((await bucket.get("key", { range }))!.body), ALL.slice(10, 20));
  });
  await withAnswers(() => part(ALL, "bytes 0-999/1000"), async (bucket) => {
    await rejects(bucket.get("key"), "UNAVAILABLE"); // nobody asked for a part
  });
});

test("S3: a body that ends early fails, however it ends", async () => {
  const range = { start: 10, end: 20 };
  const clean = () => part(ReadableStream.from([ALL.slice(10, 15)]), "bytes 10-19/1000");
  await withAnswers(clean, async (bucket) => {
    const found = await bucket.get("key", { range });
    const error = await rejects(bytesOf(found!.body), "UNAVAILABLE");
    assert.include(error.message, "5 bytes are missing");
  });
  const broken = () => {
    let sent = false;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent) throw new Error("Broken");
        sent = true;
        controller.enqueue(ALL.slice(0, 500));
      },
    });
    return new Response(body, { headers: { ETag: '"e"', "Content-Length": "1000" } });
  };
  await withAnswers(broken, async (bucket) => {
    await rejects(async () => bytesOf((await bucket.get("key"))!.body), "UNAVAILABLE");
  });
  const unknown = () => new Response(ReadableStream.from([ALL]), { headers: { ETag: '"e"' } });
  await withAnswers(unknown, async (bucket) => {
    await rejects(bucket.get("key"), "UNAVAILABLE"); // no Content-Length: nobody could tell whether it is whole
  });
});

test("S3: objects that could not be deleted, in an answer that says 200", async () => {
  const error = (code: string) => `<Error><Key>a</Key><Code>${code}</Code><Message>No</Message></Error>`;
  const codes = { AccessDenied: "FORBIDDEN", InternalError: "UNAVAILABLE", SlowDown: "UNAVAILABLE" } as const;
  for (const [said, code] of Object.entries(codes)) {
    await withAnswers(() => xml("DeleteResult", error(said)), async (bucket) => {
      assert.include((await rejects(bucket.delete(["a", "b"]), code)).message, "1 of 2 objects, such as a");
    });
  }
  await withAnswers(() => xml("DeleteResult", error("NoSuchKey")), async (bucket) => {
    await bucket.delete(["a", "b"]);
  });
  await withAnswers(() => refusal(200, "InternalError"), async (bucket) => {
    await rejects(bucket.delete(["a"]), "UNAVAILABLE");
  });
});
