// Buckets of each kind, of which one observer sees something else than there is: by the contract, as files of a
// directory, as answers of an S3, as what a binding of R2 gives.

import { SnapshotError } from "../../mod.ts";
import type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage } from "../../src/bucket/mod.ts";
import { pathOf } from "../../src/bucket/directory/keys.ts";
import { DirectoryBucket } from "../../src/fs.ts";
import { MemoryBucket, ObjectStorage, R2BindingBucket, type R2BucketLike, S3Bucket } from "../../src/object.ts";
import { decodeIndex } from "../../src/storage/object/index.ts";
import { bytesOf, noise, pieces } from "../support/harness.ts";
import { fails, Faults, type Grade, RETAIN, saveThree, SeenDisk, type WorldKind, type Wrap } from "./evidence_media.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

/** What a key is part of. */
export type ThingOf = (key: string) => string;
/** Makes a bucket in which something may be seen otherwise than it is. */
type Seen = (inner: MemoryBucket, faults: Faults, thingOf: ThingOf) => Promise<Bucket> | Bucket;

const OPTIONS = { retain: RETAIN, packSize: 4 * 1024 * 1024 };

/** Buckets of some kind, which hold the same snapshots. One that can be disposed of is, after its case. */
export function buckets(name: string, wrap: Wrap, seen: Seen, hasAnother = false): WorldKind {
  let objects: Promise<[string, Uint8Array][]> | undefined;
  const prepare = async () => {
    const bucket = new MemoryBucket();
    await saveThree(wrap(await ObjectStorage.open(bucket, OPTIONS)));
    const { objects } = await bucket.list();
    return await Promise.all(objects.map(async ({ key }): Promise<[string, Uint8Array]> => {
      return [key, await bytesOf((await bucket.get(key))!.body)];
    }));
  };
  return {
    name,
    async make() {
      const inner = new MemoryBucket();
      for (const [key, bytes] of await (objects ??= prepare())) await inner.put(key, bytes);
      const { snapshots } = await decodeIndex(await bytesOf((await inner.get("index"))!.body), "index");
      const byLease = new Map(snapshots.map(({ id, index }) => [id.split("/")[0]!, index]));
      const faults = new Faults();
      const bucket = await seen(inner, faults, (key) => {
        const [kind, lease] = key.split("/");
        const index = byLease.get(lease ?? "");
        return kind === "index" || index === undefined
          ? "root"
          : `${kind === "manifests" ? "manifest" : "files"} ${index}`;
      });
      return {
        faults,
        hasAnother,
        close: async () => await (bucket as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.(),
        open: async () => wrap(await ObjectStorage.open(bucket, { ...OPTIONS, grace: 0 })),
      };
    },
  };
}

/** A bucket of any kind, by the contract. */
export function anyBuckets(name: string, wrap: Wrap): WorldKind {
  return buckets(name, wrap, (inner, faults, thingOf) => new SeenBucket(inner, faults, thingOf));
}

class SeenBucket implements Bucket {
  readonly #inner: Bucket;
  readonly #faults: Faults;
  readonly #thingOf: ThingOf;

  constructor(inner: Bucket, faults: Faults, thingOf: ThingOf) {
    this.#inner = inner;
    this.#faults = faults;
    this.#thingOf = thingOf;
  }

  async get(key: string, options?: GetOptions): Promise<BucketBody | undefined> {
    const grade = this.#faults.of(this.#thingOf(key));
    if (grade === "unreadable" || grade === "forbidden") throw fails(grade, `get ${key}`);
    if (grade === "absent" || grade === "gone") return undefined;
    const found = await this.#inner.get(key, options);
    if (found === undefined || grade === undefined) return found;
    const bytes = this.#faults.spoil(grade, (await bytesOf(found.body)).slice());
    // A page to log in, in the place of what was asked for; or the first half of it.
    if (grade === "other") return { ...found, etag: '"login"', size: 4321, body: pieces(noise(bytes.length, 5)) };
    if (grade === "short") return { ...found, body: pieces(bytes.subarray(0, bytes.length >> 1)) };
    return { ...found, body: pieces(bytes) };
  }

  put(...args: Parameters<Bucket["put"]>): Promise<BucketObject | undefined> {
    return this.#inner.put(...args);
  }

  delete(...args: Parameters<Bucket["delete"]>): Promise<void> {
    return this.#inner.delete(...args);
  }

  async list(options: ListOptions = {}): Promise<ListPage> {
    const page = await this.#inner.list(options);
    return { ...page, objects: page.objects.filter(({ key }) => this.#faults.of(this.#thingOf(key)) !== "gone") };
  }
}

/** A directory of objects, on a disk in memory. */
export function directoryBuckets(name: string, wrap: Wrap): WorldKind {
  return buckets(name, wrap, async (inner, faults, thingOf) => {
    const disk = new SimulatedDisk();
    const made = await DirectoryBucket.open("/bucket", { disk });
    const things = new Map<string, string>();
    const { objects } = await inner.list();
    for (const { key } of objects) {
      await made.put(key, await bytesOf((await inner.get(key))!.body));
      things.set(`/bucket/${pathOf(new TextEncoder().encode(key))}`, thingOf(key));
    }
    return await DirectoryBucket.open("/bucket", {
      disk: new SeenDisk(disk, faults, (path) => things.get(path) ?? "root"),
    });
  }, true);
}

/** Answers of an S3. */
export function s3Buckets(name: string, wrap: Wrap): WorldKind {
  return buckets(name, wrap, (inner, faults, thingOf) => {
    const fetch = (url: string, init: RequestInit) => answer(inner, faults, thingOf, new Request(url, init));
    return new S3Bucket({ endpoint: "https://s3.example", bucket: "bucket", client: { fetch } });
  });
}

const LOGIN = new TextEncoder().encode("<!DOCTYPE html><html><title>Sign in</title></html>".repeat(90));

async function answer(inner: Bucket, faults: Faults, thingOf: ThingOf, request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const key = decodeURIComponent(pathname.slice("/bucket/".length));
  const header = (name: string) => request.headers.get(name) ?? undefined;
  if (request.method === "PUT") {
    const body = new Uint8Array(await request.arrayBuffer());
    const [ifMatch, ifNoneMatch] = [header("If-Match"), header("If-None-Match") as "*" | undefined];
    const put = await inner.put(key, body, { ...(ifMatch && { ifMatch }), ...(ifNoneMatch && { ifNoneMatch }) });
    return put === undefined ? refusal(412, "PreconditionFailed") : new Response("", { headers: { ETag: put.etag } });
  }
  if (request.method === "POST") {
    const keys = [...(await request.text()).matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key!);
    await inner.delete(keys);
    return new Response("<DeleteResult></DeleteResult>");
  }
  if (searchParams.has("list-type")) {
    const { objects } = await inner.list({ prefix: searchParams.get("prefix") ?? "" });
    const seen = objects.filter(({ key }) => faults.of(thingOf(key)) !== "gone");
    const contents = seen.map(({ key, size, etag }) =>
      `<Contents><Key>${encodeURIComponent(key)}</Key><Size>${size}</Size><ETag>${etag}</ETag></Contents>`
    );
    return new Response(
      `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>${
        contents.join("")
      }</ListBucketResult>`,
    );
  }
  const grade = faults.of(thingOf(key));
  if (grade === "unreadable") return refusal(503, "SlowDown");
  if (grade === "forbidden") return refusal(403, "AccessDenied");
  if (grade === "other") return new Response(LOGIN, { headers: { "Content-Type": "text/html", ETag: '"login"' } });
  const found = grade === "absent" || grade === "gone" ? undefined : await inner.get(key);
  if (found === undefined) return refusal(404, "NoSuchKey");
  const whole = await bytesOf(found.body);
  const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(header("Range") ?? "") ?? [];
  const [start, end] = [Number(from), to === "" ? whole.length : Math.min(Number(to) + 1, whole.length)];
  if (start > 0 && start >= whole.length) return refusal(416, "InvalidRange");
  const bytes = faults.spoil(grade, whole.slice(start, end));
  const isPart = header("Range") !== undefined;
  return new Response(pieces(grade === "short" ? bytes.subarray(0, bytes.length >> 1) : bytes), {
    status: isPart ? 206 : 200,
    headers: {
      ETag: found.etag,
      "Content-Length": String(bytes.length),
      ...(isPart && { "Content-Range": `bytes ${start}-${end - 1}/${whole.length}` }),
    },
  });
}

function refusal(status: number, code: string): Response {
  return new Response(`<Error><Code>${code}</Code><Message>No</Message></Error>`, { status });
}

/** What a binding of R2 gives. */
export function r2Buckets(name: string, wrap: Wrap): WorldKind {
  return buckets(name, wrap, (inner, faults, thingOf) => new R2BindingBucket(binding(inner, faults, thingOf)));
}

function binding(inner: Bucket, faults: Faults, thingOf: ThingOf): R2BucketLike {
  const seen = (key: string): Grade | undefined => {
    const grade = faults.of(thingOf(key));
    if (grade === "unreadable") throw new Error(`get: We encountered an internal error. Please try again. (10001)`);
    if (grade === "forbidden") throw new Error(`get: Access Denied (10003)`);
    return grade;
  };
  return {
    async head(key) {
      const grade = seen(key);
      const found = grade === "absent" || grade === "gone" ? undefined : await inner.get(key);
      await found?.body.cancel();
      return found ?? null;
    },
    async get(key, options) {
      const grade = seen(key);
      const { offset = 0, length = Infinity } = options?.range ?? {};
      const range = options?.range && { range: { start: offset, end: offset + length } };
      const found = grade === "absent" || grade === "gone" ? undefined : await inner.get(key, range);
      if (found === undefined) return null;
      const bytes = faults.spoil(grade, (await bytesOf(found.body)).slice());
      if (grade === "other") return { ...found, etag: "other", size: 4321, body: pieces(noise(bytes.length, 5)) };
      return { ...found, body: pieces(grade === "short" ? bytes.subarray(0, bytes.length >> 1) : bytes) };
    },
    async put(key, value, { onlyIf = {} } = {}) {
      const { etagMatches: ifMatch, etagDoesNotMatch: ifNoneMatch } = onlyIf;
      const conditions = { ...(ifMatch && { ifMatch }), ...(ifNoneMatch && { ifNoneMatch: ifNoneMatch as "*" }) };
      return await inner.put(key, value, conditions) ?? null;
    },
    createMultipartUpload: () => Promise.reject(new SnapshotError("UNSUPPORTED", "Nothing here is so large")),
    delete: (keys) => inner.delete(keys),
    async list(options) {
      const { objects, cursor } = await inner.list(options);
      const listed = objects.filter(({ key }) => faults.of(thingOf(key)) !== "gone");
      return { objects: listed, truncated: cursor !== undefined, ...(cursor !== undefined && { cursor }) };
    },
  };
}
