// Requests to a handler: any method, path, header and body. What it answers is held against what is there.

import {
  archive,
  MemoryStorage,
  SnapshotError,
  type SnapshotErrorCode,
  snapshotHandler,
  SnapshotManifest,
  type SnapshotTarget,
} from "../../../mod.ts";
import { concat, equal, toHex } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { pieces } from "../../support/harness.ts";
import { mutate, someBytes, someNumber } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";
import { archives, joined, mutateArchive } from "./archive.ts";
import { checkNewest, contentOf } from "./content.ts";
import { METHODS, someHeaders, somePath } from "./http_samples.ts";
import { mutateManifest } from "./manifest.ts";
import { META, reading, sampleStorage } from "./samples.ts";

const HOST = "http://host";
/** The statuses that an answer to somebody who can do no more than ask may have. */
const STATUSES = [200, 201, 204, 206, 304, 400, 403, 404, 405, 409, 412, 415, 416, 422, 429, 501, 503];

/** What takes snapshots, and takes none. */
const TARGET: SnapshotTarget = {
  snapshot({ gap }) {
    law(gap === undefined || Number.isSafeInteger(gap) && gap >= 0, `${gap} is a gap`);
    return Promise.resolve({ taken: false });
  },
  install: () => {
    throw new Error("Nobody has asked for that");
  },
  notify({ term, firstAvailable, group = "users" }) {
    law(group !== "" && group.length < 256, "a group has a name");
    for (const it of [term, firstAvailable.index, firstAvailable.term]) {
      law(it >= 0n && it < 2n ** 63n, "it is a number");
    }
    return Promise.resolve({ result: "ALREADY_INSTALLED", snapshotIndex: 5n });
  },
};

/** A notification, with numbers that it can have, and others. */
function someNotification(random: Random): Uint8Array {
  const number = () => random.chance(0.5) ? "1" : String(someNumber(random));
  const group = random.pick([undefined, "users", "", "\0", "x".repeat(300), 5, null]);
  const notification = { term: number(), firstAvailable: { index: number(), term: number() }, group };
  return new TextEncoder().encode(JSON.stringify(notification));
}

/** A request; nothing if the runtime makes no such one. */
function requestOf(method: string, path: string, headers: Headers, bytes: Uint8Array | undefined, random: Random) {
  const body = bytes === undefined ? undefined : random.chance(0.5) ? bytes : pieces(bytes, random.pick([30, 1000]));
  try {
    const request = new Request(
      HOST + path,
      { method, headers, body: body as BodyInit, duplex: "half" } as RequestInit,
    );
    return request.method === method ? request : undefined; // Bun makes a GET of what it does not know
  } catch {
    return undefined;
  }
}

/** What is there, by its path. */
type Contents = ReadonlyMap<string, Uint8Array>;

function checkRanged(response: Response, body: Uint8Array, whole: Uint8Array, request: Request): void {
  const { headers, status } = response;
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("Content-Range") ?? "")?.slice(1).map(Number);
  const isHead = request.method === "HEAD";
  const [ifRange, ifNoneMatch] = [request.headers.get("If-Range"), request.headers.get("If-None-Match")];
  const tag = headers.get("ETag")!;
  law(ifNoneMatch === null || !ifNoneMatch.split(/\s*,\s*/).includes(tag), "what one has is not sent again");
  law(isHead || headers.get("Content-Length") === String(body.length), "the length is that of the body");
  if (status === 200) return law(isHead || equal(body, whole), "200 is all of it");
  law(request.headers.has("Range") && !isHead, "a part is sent only where one is asked for");
  law(ifRange === null || ifRange === tag, "a part is sent only of what If-Range says");
  if (range !== undefined) {
    const [start, last, size] = range as [number, number, number];
    law(size === whole.length && equal(body, whole.subarray(start, last + 1)), "206 is the part that it says");
    return;
  }
  const type = headers.get("Content-Type") ?? "";
  law(type.startsWith("multipart/byteranges; boundary="), "206 says which part it is");
  law(body.length < whole.length + 64 * 200 + 200, "several ranges are no more than all of it");
  const text = new TextDecoder("latin1").decode(body);
  let parts = 0;
  for (const match of text.matchAll(/Content-Range: bytes (\d+)-(\d+)\/(\d+)\r\n\r\n/g)) {
    const [start, end] = [Number(match[1]), Number(match[2]) + 1];
    const at = match.index + match[0].length;
    law(equal(body.subarray(at, at + end - start), whole.subarray(start, end)), "a part is the part that it says");
    parts++;
  }
  law(parts > 1, "several parts are several");
}

/** Everything that has bytes of its own, as it should be got. */
async function contentsOf(storage: MemoryStorage): Promise<Contents> {
  const contents = new Map<string, Uint8Array>();
  await reading(storage, async (reader) => {
    const { manifest } = reader;
    const files: Uint8Array[] = [];
    for (const { name } of manifest.files) {
      const bytes = await contentOf(reader, name);
      contents.set(`files/${name}`, bytes);
      files.push(bytes);
    }
    contents.set("content", concat(files));
    contents.set("archive", concat(await Array.fromAsync(archive(reader))));
    contents.set("manifest", manifest.bytes);
  });
  return contents;
}

export const httpRequest: Target = {
  name: "http-request",
  share: 30,
  codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED", "NOT_FOUND", "FORBIDDEN"],
  async prepare() {
    const source = await sampleStorage();
    const contents = await contentsOf(source);
    const digest = toHex((await source.list())[0]!.digest);
    const size = contents.get("content")!.length;
    const roots = await reading(source, ({ manifest }) => manifest.files.map(({ chunks }) => toHex(chunks!.root)));
    const tags = [digest, `${digest}-content`, `${digest}-archive`, `${digest}-json`, ...roots].map((tag) =>
      `"${tag}"`
    );
    const corpus = await archives();
    const newer = { ...META, lastIncludedIndex: 6n };
    const offered = await reading(await sampleStorage(newer), ({ manifest }) => manifest.bytes);
    const notification = new TextEncoder().encode(
      JSON.stringify({ term: "1", firstAvailable: { index: "9", term: "1" }, sources: ["http://a"] }),
    );
    const storage = source;

    /** What is sent with a request. */
    async function someBody(random: Random, path: string): Promise<Uint8Array> {
      const what = random.below(10);
      if (what === 0) return someBytes(random, 100);
      if (path.endsWith("notification")) {
        if (random.chance(0.2)) return concat([notification, new Uint8Array(64 * 1024).fill(32)]); // JSON all the same
        return random.chance(0.5) ? someNotification(random) : mutate(notification, random);
      }
      if (path.endsWith("manifest")) return what < 4 ? mutate(offered, random) : await mutateManifest(offered, random);
      return joined(await mutateArchive(random.pick(corpus), random, corpus[0]!));
    }

    return async (random) => {
      const method = random.pick(METHODS);
      const path = somePath(random, method, digest);
      const isSent = method !== "GET" && method !== "HEAD" && random.chance(0.9);
      const bytes = isSent ? await someBody(random, path) : undefined;
      const isPut = method === "PUT"; // it may get another snapshot: into a storage of its own
      const here = isPut ? new MemoryStorage({ retain: 9 }) : storage;
      const errors: unknown[] = [];
      let refusal: SnapshotErrorCode | undefined;
      const handler = snapshotHandler(here, {
        allowWrites: true,
        onError: (error) => errors.push(error),
        leaseDuration: 1000,
        ...(method === "POST" && random.chance(0.7) && { target: TARGET }),
      });
      try {
        const sent = someHeaders(random, tags, size);
        if (method === "POST" && random.chance(0.9)) sent.set("Content-Type", "application/json"); // else it is refused
        const request = requestOf(method, path, sent, bytes, random);
        if (request === undefined) return;
        const response = await handler(request);
        const { status, headers } = response;
        const body = response.body === null ? new Uint8Array(0) : concat(await Array.fromAsync(response.body));
        law(STATUSES.includes(status), `${method} ${path} is answered with ${status}, after ${errors.join()}`);
        if (status < 500) law(errors.length === 0, `the server is at fault: ${errors.join()}`);
        if (status >= 400 && method !== "HEAD") {
          law(headers.get("Content-Type") === "application/problem+json", "a refusal is a problem document");
          const { code, detail } = JSON.parse(new TextDecoder().decode(body)) as { code: string; detail: string };
          law(typeof code === "string" && typeof detail === "string", "a problem has a code and says what it is");
          refusal = code as SnapshotErrorCode;
        }
        const found = /^\/snapshots\/([^/]+)\/(.+)$/.exec(new URL(request.url).pathname);
        if ((method === "GET" || method === "HEAD") && (status === 200 || status === 206) && found !== null) {
          law(["5", "latest", digest].includes(found[1]!), `there is no snapshot ${found[1]}`);
          const isJson = headers.get("Content-Type") === "application/json";
          const whole = contents.get(decodeURIComponent(found[2]!));
          if (isJson) {
            law(status === 206 || method === "HEAD" || JSON.parse(new TextDecoder().decode(body)), "it is JSON");
          } else if (found[2] !== "held") {
            law(whole !== undefined, `${found[2]} is not there`);
            checkRanged(response, body, whole, request);
          }
        }
        const asked = BigInt(/^\/snapshots\/([0-9]+)/.exec(path)?.[1] ?? 0);
        if (isPut && status === 201) {
          await checkNewest(here);
          law((await here.list())[0]!.meta.lastIncludedIndex === asked, "it is the one that was said");
        }
        if (isPut && status !== 201) law((await here.list()).length === 0, "what was refused is not there");
        if (isPut && status === 200) {
          const offer = await must("it was offered", () => SnapshotManifest.decode(bytes!));
          law(offer.index === asked, "it is the one that was said");
        }
        law(status !== 200 || method !== "POST" || bytes!.length < 64 * 1024, "a notification is short");
        law(here.installing === undefined, "nothing is being received any more");
      } finally {
        await handler.close();
        if (isPut) await here.close();
      }
      if (!isPut) { for (const { pinned } of await here.list()) law(!pinned, "nothing keeps the snapshot any more"); }
      if (refusal !== undefined) throw new SnapshotError(refusal, "The answer says so");
    };
  },
};
