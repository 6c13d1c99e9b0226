// What clients of HTTP may rely on: RFC 9110, RFC 9530, and the Fetch standard.

import { archive, MemoryStorage, snapshotHandler, type SnapshotHandlerOptions, unarchive } from "../../mod.ts";
import { archiveRange, archiveSize } from "../../src/snapshot/mod.ts";
import { ChunkSet, concat, sha256, toBase64, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, test, turns } from "../support/harness.ts";
import { type Files, save, storageWith } from "../support/samples.ts";
import { writeChunk } from "../support/installs.ts";

const FILES: Files = { a: noise(200_000, 1), b: noise(5, 2), c: noise(0, 1), d: noise(70_000, 3) };
const CONTENT = concat(Object.values(FILES));

type Ask = (path: string, init?: RequestInit, client?: string) => Promise<Response>;

interface Serving {
  readonly ask: Ask;
  readonly storage: MemoryStorage;
  readonly digest: string;
}

/** Does something with a handler. */
async function serving(
  work: (serving: Serving) => Promise<void>,
  options: SnapshotHandlerOptions = {},
  files = FILES,
): Promise<void> {
  const storage = await storageWith(7n, files);
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  const ask: Ask = (path, init, client = "c") => handler(new Request(`http://host${path}`, init), { client });
  await work({ ask, storage, digest: toHex((await storage.list())[0]!.digest) });
  await handler.close();
  await storage.close();
}

interface Part {
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/** The parts of a multipart/byteranges, as RFC 2046 says, with no use made of how it is written here. */
function partsOf(body: Uint8Array, boundary: string): Part[] {
  const text = Array.from(body, (byte) => String.fromCharCode(byte)).join("");
  const [, ...sections] = `\r\n${text}`.split(`\r\n--${boundary}`);
  assert.match(sections.pop()!, /^--[ \t]*\r\n/);
  return sections.map((section) => {
    const end = section.indexOf("\r\n\r\n");
    const lines = section.slice(0, end).split("\r\n").filter((line) => line !== "");
    const headers = new Headers(lines.map((line) => line.split(/: */) as [string, string]));
    return { headers, bytes: Uint8Array.from(section.slice(end + 4), (char) => char.charCodeAt(0)) };
  });
}

const SEVERAL = ["bytes=0-9,100-109", "bytes=-5,0-0", "bytes=0-65535, 65536-131071", "bytes=10-19,99999999-,30-39"];

for (const Range of SEVERAL) {
  test(`HTTP: several ranges: ${Range}`, () =>
    serving(async ({ ask }) => {
      const wholes = {
        "files/a": FILES.a!,
        content: CONTENT,
        archive: await (await ask("/snapshots/7/archive")).bytes(),
      };
      for (const [path, whole] of Object.entries(wholes)) {
        const response = await ask(`/snapshots/7/${path}`, { headers: { Range } });
        assert.strictEqual(response.status, 206);
        assert.isNull(response.headers.get("Content-Range"));
        const [, boundary] = /^multipart\/byteranges; boundary=([^ ;]+)$/.exec(response.headers.get("Content-Type")!)!;
        const body = await response.bytes();
        assert.strictEqual(String(body.length), response.headers.get("Content-Length"));
        const parts = partsOf(body, boundary!);
        assert.lengthOf(parts, 2);
        const asked = Range.slice(6).split(",").map((item) => item.trim()).filter((item) => !item.startsWith("9999"));
        parts.forEach(({ headers, bytes }, i) => {
          const [first, last] = asked[i]!.split("-") as [string, string];
          const start = first === "" ? whole.length - Number(last) : Number(first);
          const end = first === "" ? whole.length : Number(last) + 1;
          assert.strictEqual(headers.get("Content-Range"), `bytes ${start}-${end - 1}/${whole.length}`);
          assert.strictEqual(headers.get("Content-Type"), "application/octet-stream");
          assert.deepEqual(bytes, whole.slice(start, end));
        });
      }
    }));
}

test("HTTP: ranges of which one is left, or that are more than all", () =>
  serving(async ({ ask }) => {
    const one = await ask("/snapshots/7/files/a", { headers: { Range: "bytes=5-6,999999-" } });
    assert.deepEqual([one.status, one.headers.get("Content-Range")], [206, "bytes 5-6/200000"]);
    assert.deepEqual(await one.bytes(), FILES.a!.slice(5, 7));
    const more = await ask("/snapshots/7/files/a", { headers: { Range: "bytes=0-,0-" } });
    assert.strictEqual(more.status, 200);
    assert.lengthOf(await more.bytes(), 200_000);
  }));

test("HTTP: ranges that overlap are one, however many they are; what is in no order stays as it was asked for", () =>
  serving(async ({ ask }) => {
    const many = Array.from({ length: 64 }, (_, i) => `${i * 3}-${i * 3 + 8}`).join(",");
    for (const path of ["files/a", "content", "archive"]) {
      const one = await ask(`/snapshots/7/${path}`, { headers: { Range: `bytes=${many}` } });
      assert.strictEqual(one.status, 206);
      assert.match(one.headers.get("Content-Range")!, /^bytes 0-197\//);
      assert.lengthOf(await one.bytes(), 198);
      const two = await ask(`/snapshots/7/${path}`, { headers: { Range: "bytes=100-109,50-104" } });
      assert.match(two.headers.get("Content-Type")!, /^multipart/);
      await two.body?.cancel();
    }
  }));

test("HTTP: Content-Digest where what is sent is a chunk, or a file of one, and nowhere else", () =>
  serving(async ({ ask }) => {
    const cases: [path: string, range: string | undefined, known: boolean][] = [
      ["files/a", "bytes=0-65535", true],
      ["files/a", "bytes=65536-131071", true],
      ["files/a", "bytes=196608-", true],
      ["files/a", "bytes=-3392", true],
      ["files/a", "bytes=0-131071", false],
      ["files/a", "bytes=1-65536", false],
      ["files/a", undefined, false],
      ["files/b", undefined, true],
      ["files/b", "bytes=0-3", false],
      ["files/c", undefined, false],
      ["files/d", "bytes=65536-", true],
      ["content", "bytes=200000-200004", true],
      ["content", "bytes=200005-265540", true],
      ["content", "bytes=196608-200004", false],
      ["archive", "bytes=0-65535", false],
    ];
    for (const [path, range, known] of cases) {
      const headers = { ...(range !== undefined && { Range: range }) };
      const response = await ask(`/snapshots/7/${path}`, { headers });
      const said = response.headers.get("Content-Digest");
      const digest = `sha-256=:${toBase64(await sha256(await response.bytes()))}:`;
      assert.strictEqual(said, known ? digest : null, `${path} ${range}`);
      const head = await ask(`/snapshots/7/${path}`, { method: "HEAD" });
      if (range === undefined) assert.strictEqual(head.headers.get("Content-Digest"), said);
    }
  }));

test("HTTP: digests of lists and manifests", () =>
  serving(async ({ ask }) => {
    for (const path of ["", "/7", "/7/manifest", "/7/held"]) {
      const response = await ask(`/snapshots${path}`);
      const digest = `sha-256=:${toBase64(await sha256(await response.bytes()))}:`;
      assert.strictEqual(response.headers.get("Content-Digest"), digest);
      assert.strictEqual(response.headers.get("Repr-Digest"), digest);
      if (path === "/7/held") continue; // one byte
      const part = await ask(`/snapshots${path}`, { headers: { Range: "bytes=0-0" } });
      assert.deepEqual([part.headers.get("Content-Digest"), part.headers.get("Repr-Digest")], [null, digest]);
      await part.body?.cancel();
    }
  }));

test("HTTP: what is got by its digest never changes, anything else is to be asked for again", () =>
  serving(async ({ ask, digest }) => {
    for (const path of ["/manifest", "/files/a", "/content", "/archive", "/held"]) {
      for (
        const [which, control] of [[digest, "max-age=31536000, immutable"], ["7", "no-cache"], ["latest", "no-cache"]]
      ) {
        for (const method of ["GET", "HEAD"]) {
          const response = await ask(`/snapshots/${which}${path}`, { method });
          assert.deepEqual(
            [response.status, response.headers.get("Cache-Control")],
            [200, control!],
            `${which}${path}`,
          );
          await response.body?.cancel();
          const headers = { "If-None-Match": response.headers.get("ETag")! };
          const unchanged = await ask(`/snapshots/${which}${path}`, { method, headers });
          assert.deepEqual([unchanged.status, unchanged.headers.get("Cache-Control")], [304, control!]);
        }
      }
    }
    for (const path of ["", `/${digest}`]) {
      const response = await ask(`/snapshots${path}`);
      assert.strictEqual(response.headers.get("Cache-Control"), "no-cache"); // says how much is here now
      await response.body?.cancel();
    }
  }));

test("HTTP: a manifest that names sources, which come and go, is asked for again", () =>
  serving(async ({ ask, digest }) => {
    const response = await ask(`/snapshots/${digest}/manifest`);
    assert.strictEqual(response.headers.get("Cache-Control"), "no-cache");
    assert.strictEqual(response.headers.get("Link"), '<http://other/>; rel="duplicate"');
    await response.body?.cancel();
  }, { sources: () => ["http://other"] }));

const ORIGIN = "https://page.example";

test("HTTP: CORS with a list of origins", () =>
  serving(async ({ ask }) => {
    for (const [path, status] of [["/snapshots", 200], ["/snapshots/7/files/a", 200], ["/snapshots/8", 404]] as const) {
      const response = await ask(path, { headers: { Origin: ORIGIN } });
      assert.strictEqual(response.status, status);
      assert.strictEqual(response.headers.get("Access-Control-Allow-Origin"), ORIGIN);
      assert.include(response.headers.get("Access-Control-Expose-Headers")!, "Content-Range");
      assert.include(response.headers.get("Vary")!, "Origin");
      await response.body?.cancel();
      for (
        const headers of [{ Origin: "https://evil.example" }, { Origin: `${ORIGIN}.evil` }, { Origin: "null" }, {}]
      ) {
        const other = await ask(path, { headers: headers as Record<string, string> });
        assert.isNull(other.headers.get("Access-Control-Allow-Origin"));
        assert.include(other.headers.get("Vary")!, "Origin"); // so that no cache gives one page's answer to another
        await other.body?.cancel();
      }
    }
    const manifest = await ask("/snapshots/7/manifest", { headers: { Origin: ORIGIN } });
    assert.strictEqual(manifest.headers.get("Vary"), "Accept, Origin");
    await manifest.body?.cancel();
  }, { cors: [ORIGIN] }));

test("HTTP: CORS with any origin, and none", async () => {
  await serving(async ({ ask }) => {
    const response = await ask("/snapshots", { headers: { Origin: ORIGIN } });
    assert.strictEqual(response.headers.get("Access-Control-Allow-Origin"), "*");
    assert.isNull(response.headers.get("Vary"));
    const exposed = response.headers.get("Access-Control-Expose-Headers")!.split(", ");
    const read = ["Content-Range", "Link", "Location", "Log-First", "Retry-After", "Upload-Complete", "Upload-Offset"];
    assert.includeMembers(exposed, read, "what the client reads of an answer");
    await response.body?.cancel();
  }, { cors: "*" });
  await serving(async ({ ask }) => {
    const response = await ask("/snapshots", { headers: { Origin: ORIGIN } });
    assert.isNull(response.headers.get("Access-Control-Allow-Origin"));
    await response.body?.cancel();
  });
});

test("HTTP: a preflight is answered before authorize, which has no credentials to see; what follows is not", async () => {
  let asked = 0;
  await serving(async ({ ask }) => {
    const headers = {
      Origin: ORIGIN,
      "Access-Control-Request-Method": "PUT",
      "Access-Control-Request-Headers": "authorization,range",
    };
    const preflight = await ask("/snapshots/8", { method: "OPTIONS", headers });
    assert.deepEqual([preflight.status, asked], [204, 0]);
    assert.strictEqual(preflight.headers.get("Access-Control-Allow-Origin"), ORIGIN);
    assert.match(preflight.headers.get("Access-Control-Allow-Methods")!, /\bPUT\b/);
    assert.strictEqual(preflight.headers.get("Access-Control-Allow-Headers"), "authorization,range");
    const refused = await ask("/snapshots/8", { method: "PUT", body: "x", headers: { Origin: ORIGIN } });
    assert.deepEqual([refused.status, asked], [403, 1]);
    assert.strictEqual(refused.headers.get("Access-Control-Allow-Origin"), ORIGIN); // so that the page can read why
    await refused.body?.cancel();
    const plain = await ask("/snapshots/8", { method: "OPTIONS", headers: { Origin: ORIGIN } });
    assert.deepEqual([plain.status, asked], [403, 2]);
    await plain.body?.cancel();
    const evil = await ask("/snapshots/8", {
      method: "OPTIONS",
      headers: { ...headers, Origin: "https://evil.example" },
    });
    assert.isNull(evil.headers.get("Access-Control-Allow-Origin"));
  }, { cors: [ORIGIN], authorize: () => (asked++, false) });
});

test("HTTP: OPTIONS", () =>
  serving(async ({ ask }) => {
    for (
      const [path, allow] of [
        ["/snapshots", "GET, HEAD, POST, OPTIONS"],
        ["/snapshots/8", "GET, HEAD, PUT, OPTIONS"],
        ["/snapshots/latest", "GET, HEAD, OPTIONS"],
        ["/snapshots/7/content", "GET, HEAD, OPTIONS"],
        ["/snapshots/notification", "POST, OPTIONS"],
      ] as const
    ) {
      const response = await ask(path, { method: "OPTIONS" });
      assert.deepEqual([response.status, response.headers.get("Allow"), response.body], [204, allow, null]);
    }
    const nowhere = await ask("/other", { method: "OPTIONS" });
    assert.strictEqual(nowhere.status, 404);
    await nowhere.body?.cancel();
  }));

function uploadHeaders({ headers }: Response): (string | null)[] {
  return ["Upload-Complete", "Upload-Offset", "Upload-Length"].map((name) => headers.get(name));
}

test("HTTP: HEAD of a snapshot, complete, being received, and left unfinished; and which chunks are here", async () => {
  const files: Files = { a: noise(200_000, 11), b: noise(5, 12), c: noise(0, 1), d: noise(70_000, 13) };
  const source = await storageWith(9n, files);
  const reader = await source.open();
  const { manifest } = reader;
  const digest = toHex(manifest.digest);
  await serving(async ({ ask, storage }) => {
    const head = (which: string) => ask(`/snapshots/${which}`, { method: "HEAD" });
    const held = async (which: string) => (await ask(`/snapshots/${which}/held`)).bytes();
    const size = String(CONTENT.length);
    for (const which of ["7", "latest"]) {
      const complete = await head(which);
      assert.deepEqual([complete.status, complete.body], [200, null]);
      assert.deepEqual(uploadHeaders(complete), ["?1", size, size]);
      assert.deepEqual(await held(which), Uint8Array.of(0b1111111)); // 4 of a, 1 of b, 2 of d
    }
    for (const which of ["9", digest]) assert.strictEqual((await head(which)).status, 404);

    const install = await storage.install(manifest);
    await install.prepare();
    await writeChunk(install, "a", 1, files.a!.slice(65_536, 131_072));
    await writeChunk(install, "b", 0, files.b!);
    for (const which of ["9", digest]) {
      const receiving = await head(which);
      assert.deepEqual(uploadHeaders(receiving), ["?0", String(65_536 + 5), size]);
      const bits = await held(which);
      assert.lengthOf(bits, 2); // and what is expected
      assert.strictEqual(bits[0], 0b0010010);
      const { length } = await (await ask(`/snapshots/${which}/files/b`)).bytes();
      assert.strictEqual(length, 5);
    }
    const notHere = await ask(`/snapshots/${digest}/content`);
    assert.deepEqual([notHere.status, (await notHere.json()).code], [503, "UNAVAILABLE"]);
    assert.deepEqual((await ask("/snapshots/latest")).headers.get("Upload-Complete"), "?1"); // the newest that is whole
    await install.close();

    assert.deepEqual((await storage.unfinished()).map((left) => toHex(left.digest)), [digest]);
    for (const which of ["9", digest]) {
      assert.deepEqual(uploadHeaders(await head(which)), ["?0", null, size]); // to say more would take the install's place
      assert.strictEqual((await ask(`/snapshots/${which}/held`)).status, 404); // nobody can get it from here
    }
    assert.isUndefined(storage.installing);
  });
  await reader.close();
  await source.close();
});

test("HTTP: an offer is answered with what need not be sent", async () => {
  const source = await storageWith(9n, { ...FILES, e: noise(300, 9) });
  const reader = await source.open();
  await serving(async ({ ask, storage }) => {
    const init = { method: "PUT", body: reader.manifest.bytes as BodyInit };
    const answer = await ask("/snapshots/9/manifest", init);
    assert.strictEqual(answer.status, 200);
    const held = new ChunkSet(reader.manifest.content.count, await answer.bytes());
    assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => held.has(i)), [...Array(7).fill(true), false]);
    const other = await ask("/snapshots/10/manifest", init);
    assert.deepEqual([other.status, (await other.json()).code], [422, "MALFORMED"]);
    const body = archive(reader, { held }) as unknown as BodyInit;
    const installed = await ask("/snapshots/9", { method: "PUT", body, duplex: "half" } as RequestInit);
    assert.strictEqual(installed.status, 201);
    await installed.body?.cancel();
    const stale = await ask("/snapshots/9/manifest", init);
    assert.deepEqual([stale.status, (await stale.json()).code], [409, "STALE"]);
    assert.isUndefined(storage.installing);
  });
  await reader.close();
  await source.close();
});

test("HTTP: the content goes over the borders of files", () =>
  serving(async ({ ask }) => {
    const whole = await ask("/snapshots/7/content");
    assert.strictEqual(whole.headers.get("Content-Length"), String(CONTENT.length));
    assert.deepEqual(await whole.bytes(), CONTENT);
    for (
      const [start, end] of [[199_999, 200_006], [200_000, 200_005], [200_004, 200_006], [65_000, 270_005]] as const
    ) {
      const part = await ask("/snapshots/7/content", { headers: { Range: `bytes=${start}-${end - 1}` } });
      assert.strictEqual(part.headers.get("Content-Range"), `bytes ${start}-${end - 1}/${CONTENT.length}`);
      assert.deepEqual(await part.bytes(), CONTENT.slice(start, end));
    }
  }));

test("HTTP: an archive that is gone on with at any place is the archive", () =>
  serving(
    async ({ ask }) => {
      const first = await ask("/snapshots/7/archive");
      const tag = first.headers.get("ETag")!;
      const whole = await first.bytes();
      assert.strictEqual(first.headers.get("Content-Length"), String(whole.length));
      for (let at = 0; at < whole.length; at++) {
        const headers = { Range: `bytes=${at}-`, "If-Range": tag };
        const rest = await ask("/snapshots/7/archive", { headers });
        assert.strictEqual(rest.status, 206);
        assert.deepEqual(await rest.bytes(), whole.slice(at), String(at));
      }
      const there = new MemoryStorage();
      await unarchive(new Blob([whole]).stream(), there).result;
      const reader = await there.open();
      assert.deepEqual(await bytesOf(reader.file("a")), noise(100, 1));
      await reader.close();
      await there.close();
    },
    {},
    { a: noise(100, 1), b: noise(0, 1), c: noise(33, 2) },
  ));

test("HTTP: an archive of several chunks, at the borders of its records", () =>
  serving(async ({ ask }) => {
    const whole = await (await ask("/snapshots/7/archive")).bytes();
    for (let border = whole.length; border > 0; border -= 65_536 + 9) {
      for (const at of [border - 10, border - 9, border - 5, border - 1, border, border + 1]) {
        if (at < 0 || at >= whole.length) continue;
        const rest = await ask("/snapshots/7/archive", { headers: { Range: `bytes=${at}-${at + 70_000}` } });
        assert.deepEqual(await rest.bytes(), whole.slice(at, at + 70_001), String(at));
      }
    }
  }));

test("HTTP: of an archive no chunk is read beyond the range", async () => {
  const storage = await storageWith(7n, FILES);
  const reader = await storage.open();
  const asked: string[] = [];
  const file: typeof reader.file = (name, options) => {
    asked.push(`${name} ${options?.start}-${options?.end}`);
    return reader.file(name, options);
  };
  const source = { manifest: reader.manifest, file };
  const inSecond = archiveSize(reader.manifest) - CONTENT.length + 65_536;
  const [piece] = await Array.fromAsync(archiveRange(source, inSecond, inSecond + 9));
  assert.lengthOf(piece!, 9);
  assert.deepEqual(asked, ["a 65536-131072"]);
  await reader.close();
  await storage.close();
});

test("HTTP: a client that asks for much does not keep out one that asks for little", () =>
  serving(async ({ ask }) => {
    const waiting: Promise<Response>[] = [];
    const open: Response[] = [];
    const refused: Response[] = [];
    for (let i = 0; i < 100; i++) {
      const answer = ask("/snapshots/7/files/a", {}, "greedy");
      waiting.push(answer);
      void answer.then((response) => (response.status === 200 ? open : refused).push(response));
    }
    while (refused.length < 82) await turns(1); // all but two that are served, and sixteen that wait
    assert.deepEqual([open.length, refused.length], [2, 82]);
    for (const response of refused) {
      assert.deepEqual([response.status, response.headers.get("Retry-After")], [429, "1"]);
      assert.deepEqual((await response.json()).status, 429);
    }
    let served: Response | undefined;
    void ask("/snapshots/7/files/b", {}, "modest").then((response) => served = response);
    for (let left = 0; served === undefined; left++) {
      assert.isBelow(left, 2, "its turn has not come");
      await open.shift()!.body!.cancel();
      await turns();
    }
    assert.lengthOf(await served.bytes(), 5);
    for (let done = 0; done < 18 - 2;) {
      const cancelled = open.splice(0); // those that are opened meanwhile are for the next round
      for (const response of cancelled) await response.body!.cancel();
      done += cancelled.length;
      await turns(1);
    }
    await Promise.all(waiting);
    for (const response of open) await response.body!.cancel();
    const last = await ask("/snapshots/7/files/b", {}, "greedy"); // and all places are free again
    assert.lengthOf(await last.bytes(), 5);
  }, { maxTransfers: 2 }));

test("HTTP: too many clients are told when to come again", () =>
  serving(async ({ ask }) => {
    const first = await ask("/snapshots/7/files/a", {}, "first");
    const waiting = Array.from({ length: 16 }, (_, i) => ask("/snapshots/7/files/b", {}, `client ${i}`));
    const refused = await ask("/snapshots/7/files/b", {}, "one more");
    assert.deepEqual([refused.status, refused.headers.get("Retry-After")], [503, "2"]);
    assert.strictEqual((await refused.json()).code, "UNAVAILABLE");
    const list = await ask("/snapshots", {}, "one more"); // which moves no content
    assert.strictEqual(list.status, 200);
    await list.body?.cancel();
    await first.body!.cancel();
    for (const answer of waiting) assert.lengthOf(await (await answer).bytes(), 5);
  }, { maxTransfers: 1 }));

test("HTTP: HEADs, refusals and empty answers take no place", () =>
  serving(async ({ ask, storage }) => {
    for (let i = 0; i < 5; i++) {
      for (
        const [path, init] of [
          ["/snapshots/7/files/a", { method: "HEAD" }],
          ["/snapshots/7/files/a", { headers: { "If-None-Match": "*" } }],
          ["/snapshots/7/files/a", { headers: { Range: "bytes=999999-" } }],
          ["/snapshots/7/files/nothing", {}],
          ["/snapshots/7/files/c", {}],
          ["/snapshots/8/archive", {}],
          ["/snapshots/8", { method: "PUT", body: "no archive" }],
        ] as const
      ) {
        const response = await ask(path, init);
        await response.body?.cancel();
      }
    }
    assert.lengthOf(await (await ask("/snapshots/7/files/b")).bytes(), 5);
    await save(storage, 8n, {});
  }, { maxTransfers: 1 }));
