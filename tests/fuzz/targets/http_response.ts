// Answers of servers that cannot be trusted, to who pulls, reads there, pushes, and notifies.

import {
  MemoryStorage,
  notifyInstall,
  openRemote,
  pull,
  push,
  type SnapshotErrorCode,
  type SnapshotHandler,
  snapshotHandler,
} from "../../../mod.ts";
import { concat, equal, toHex } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { pieces } from "../../support/harness.ts";
import { mutate, mutateText, someBytes, someNumber } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";
import { checkNewest, contentOf } from "./content.ts";
import { mutateManifest } from "./manifest.ts";
import { commitFiles, FILES, META, reading, sampleStorage } from "./samples.ts";

const STATUSES = [
  200,
  200,
  201,
  204,
  206,
  206,
  301,
  304,
  400,
  401,
  403,
  404,
  409,
  410,
  416,
  422,
  429,
  500,
  503,
  507,
  599,
];
const HEADERS = [
  ...["Content-Range", "Content-Length", "Retry-After", "Link", "Content-Type", "ETag", "Upload-Offset", "Location"],
  ...["Upload-Complete", "Content-Encoding"],
];
const VALUES = [
  ...["", "0", "-1", "0.01", "bytes 0-9/10", "bytes */0", "bytes 0-99999999999999999999/*", "x", "?1", "?0", "1e400"],
  ...['<http://b>; rel="duplicate"', '<>; rel=duplicate, <::>; rel="duplicate"', "<".repeat(3000), "Infinity", "gzip"],
];
const LIMITS = { timeout: 400, attempts: 1 } as const;

/** A body that is cut, grown, or fails. */
function someStream(bytes: Uint8Array, random: Random): BodyInit {
  const stream = pieces(bytes, random.pick([1000, 100, 20])) as ReadableStream<Uint8Array<ArrayBuffer>>;
  if (random.chance(0.8)) return stream;
  let left = random.below(bytes.length + 1);
  return stream.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(piece, controller) {
        left -= piece.length;
        if (left < 0) controller.error(new TypeError("connection reset"));
        else controller.enqueue(piece);
      },
    }),
  );
}

/** An answer changed anyhow. */
async function mutateResponse(response: Response, path: string, random: Random): Promise<Response> {
  let bytes = new Uint8Array(await response.arrayBuffer()) as Uint8Array;
  const headers = new Headers(response.headers);
  let { status } = response;
  const what = random.below(10);
  if (what < 2) status = random.pick(STATUSES);
  if (what === 2 || random.chance(0.1)) {
    for (let times = 1 + random.below(2); times > 0; times--) {
      const name = random.pick(HEADERS);
      if (random.chance(0.2)) headers.delete(name);
      else {headers.set(
          name,
          random.chance(0.7) ? random.pick(VALUES) : mutateText(headers.get(name) ?? "1", random, VALUES),
        );}
    }
  }
  if (what >= 3) {
    if (path.endsWith("/manifest") && bytes.length > 60 && random.chance(0.7)) {
      bytes = await mutateManifest(bytes, random);
    } else bytes = random.chance(0.1) ? someBytes(random, 300) : mutate(bytes, random);
  }
  const isEmpty = bytes.length === 0 || [204, 304].includes(status);
  try {
    return new Response(isEmpty ? null : someStream(bytes, random), { status, headers });
  } catch {
    return new Response(null, { status: 500 }); // no server can answer so
  }
}

export const httpResponse: Target = {
  name: "http-response",
  share: 12,
  codes: ["UNAVAILABLE", "MALFORMED", "CORRUPT", "UNSUPPORTED", "NOT_FOUND", "STALE", "FORBIDDEN", "BUSY", "NO_SPACE"]
    .concat(["TIMEOUT", "CLOSED", "CANCELLED"]) as SnapshotErrorCode[],
  async prepare() {
    const there = await sampleStorage();
    const digest = toHex((await there.list())[0]!.digest);
    const contents = new Map<string, Uint8Array>();
    await reading(there, async (reader) => {
      for (const { name } of reader.manifest.files) contents.set(name, await contentOf(reader, name));
    });

    /** A server whose answers are changed now and then. */
    const liar = (name: string, random: Random, answer: (request: Request) => Promise<Response>) => {
      const share = random.pick([0.3, 0.3, 1]);
      return {
        url: `http://${name}`,
        fetch: async (request: Request) => {
          if (random.chance(0.02)) throw new TypeError("connection refused");
          const response = await answer(request);
          return random.chance(share) ? mutateResponse(response, new URL(request.url).pathname, random) : response;
        },
      };
    };

    /** Does something with a server that is as it should be. */
    async function serving<T>(work: (handler: SnapshotHandler) => Promise<T>): Promise<T> {
      const handler = snapshotHandler(there, { allowWrites: true });
      try {
        return await work(handler);
      } finally {
        await handler.close(); // or its leases would go on
      }
    }

    async function pulled(random: Random, handler: SnapshotHandler): Promise<void> {
      const here = new MemoryStorage({ retain: 9 });
      if (random.chance(0.3)) await commitFiles(here, { ...META, lastIncludedIndex: 1n }, { one: FILES["one"]! });
      const before = (await here.list()).length;
      const sources = random.chance(0.9) ? ["a"] : ["a", "b"];
      try {
        const servers = sources.map((name) => liar(name, random, handler));
        await pull(here, servers, { ...LIMITS, concurrency: 1 }).result;
      } catch (error) {
        law((await here.list()).length === before, "what failed is not there");
        law(here.installing === undefined, "what failed is not being received any more");
        throw error;
      }
      await checkNewest(here);
      await here.close();
    }

    async function read(random: Random, handler: SnapshotHandler): Promise<void> {
      const reader = await openRemote(liar("a", random, handler), { timeout: LIMITS.timeout });
      const isTrue = toHex(reader.manifest.digest) === digest;
      try {
        for (const { name, chunks } of reader.manifest.files) {
          const start = random.chance(0.5) ? 0 : random.below(chunks!.size + 1);
          const end = random.chance(0.5) ? chunks!.size : start + random.below(chunks!.size + 1 - start);
          const bytes = concat(await Array.fromAsync(reader.file(name, { start, end })));
          if (isTrue) law(equal(bytes, contents.get(name)!.subarray(start, end)), `${name} is what it should be`);
          else law(bytes.length === end - start, `${name} has as many bytes as were asked for`);
        }
      } finally {
        await reader.close();
      }
    }

    async function pushed(random: Random): Promise<void> {
      const here = new MemoryStorage({ retain: 9 });
      const receiver = snapshotHandler(here, { allowWrites: true });
      try {
        await reading(there, (reader) => push(reader, liar("a", random, receiver), LIMITS).result);
        law((await here.list()).length < 2, "one snapshot was sent");
      } finally {
        for (const _ of await here.list()) {
          law(await checkNewest(here) === digest, "what was installed is what was sent");
        }
        await receiver.close();
        await here.close();
      }
    }

    async function notified(random: Random): Promise<void> {
      let asked = 0;
      const reply = () => ({
        result: asked++ < 3 ? random.pick(["IN_PROGRESS", "SNAPSHOT_INSTALLED", "X"]) : "ALREADY_INSTALLED",
        snapshotIndex: random.chance(0.5) ? "5" : String(someNumber(random)),
        term: random.chance(0.5) ? "7" : String(someNumber(random)),
        progress: { phase: "fetch", bytes: 1, total: 2, chunks: 3, reused: 0, rate: 1 },
        reason: "because",
      });
      const server = liar("a", random, () => Promise.resolve(new Response(JSON.stringify(reply()))));
      const notification = { term: 1n, firstAvailable: { index: 9n, term: 1n } };
      const said = await notifyInstall(server, notification, { timeout: LIMITS.timeout, interval: 1 }).result;
      law((said.snapshotIndex ?? 0n) < 2n ** 63n && (said.term ?? 0n) < 2n ** 63n, "numbers are numbers");
      law((said.reason?.length ?? 0) <= 1000, "a reason is short");
    }

    return async (random) => {
      const work = random.pick([pulled, pulled, pulled, read, read, pushed, notified]);
      await serving((handler) => work(random, handler));
      await must("the server is as it was", () => there.open().then((reader) => reader.close()));
    };
  },
};
