// Who verifies every chunk says so, and the server does not hash what it sends; a chunk that came wrong is asked for
// again, and then the server verifies it, and finds out whether its snapshot is bad.

import { MemoryStorage, openRemote, pull, push, SnapshotError, type SnapshotStorage } from "../../mod.ts";
import type { ReadOptions } from "../../src/snapshot/mod.ts";
import { equal } from "../../src/stream/mod.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { assert, bytesOf, closing, noise, rejects, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { save } from "../support/samples.ts";
import { sourceOf, type TestSource, type Twist, withBody } from "../support/servers.ts";

const CHUNK = 65_536;
const STATE = noise(20 * CHUNK, 11);

async function spoilable(): Promise<SpoiledStorage> {
  const storage = new SpoiledStorage();
  await save(storage, 9n, { state: STATE }, { chunkSize: CHUNK });
  return storage;
}

function serving(storage: SnapshotStorage, twist?: Twist, name = "there"): TestSource & AsyncDisposable {
  const source = sourceOf(name, storage, twist);
  return closing({ ...source, [Symbol.asyncDispose]: () => source.close() });
}

/** Changes a byte of the answers of which it is said, by their numbers. */
function flipping(which: (count: number) => boolean): Twist {
  return (_request, count, answer) => {
    if (!which(count)) return undefined;
    const flip = () =>
      new TransformStream<Uint8Array, Uint8Array>({
        transform(piece, controller) {
          const copy = piece.slice();
          copy[0]! ^= 1;
          controller.enqueue(copy);
        },
      });
    return answer().then((response) => withBody(response, (body) => body.pipeThrough(flip())));
  };
}

/** Collects whether the requests for content said that the client verifies. */
function watched(source: TestSource): { readonly source: TestSource; readonly said: boolean[] } {
  const said: boolean[] = [];
  const fetch = (request: Request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname.endsWith("/content")) said.push(search === "?verified-by=client");
    return source.fetch(request);
  };
  return { source: { ...source, fetch }, said };
}

async function hasState(storage: SnapshotStorage): Promise<void> {
  const reader = await storage.open();
  assert.isTrue(equal(await bytesOf(reader.file("state")), STATE));
  await reader.close();
}

async function quarantined(storage: SnapshotStorage): Promise<bigint[]> {
  return (await storage.quarantined()).map(({ index }) => index);
}

test("verified once: a server reads for a pull without hashing, and for everybody else with it", async () => {
  const storage = await spoilable();
  const reads: boolean[] = [];
  const seen = overriding<SnapshotStorage>(storage, {
    async open(index) {
      const reader = await storage.open(index);
      const file = (name: string, options: ReadOptions = {}) => {
        reads.push(options.unverified === true);
        return reader.file(name, options);
      };
      return overriding(reader, { file });
    },
  });
  const source = serving(seen);
  const here = new MemoryStorage();
  await pull(here, [source]).result;
  await hasState(here);
  assert.isAbove(reads.length, 0);
  assert.isTrue(reads.every((unverified) => unverified));

  reads.length = 0;
  const reader = await openRemote(source);
  assert.isTrue(equal(await bytesOf(reader.file("state")), STATE));
  await reader.close();
  assert.isTrue(reads.every((unverified) => unverified));

  reads.length = 0;
  for (const what of ["content", "archive", "files/state"]) {
    await (await source.fetch(new Request(`http://there/snapshots/9/${what}`))).arrayBuffer();
  }
  assert.isAbove(reads.length, 2);
  assert.isFalse(reads.some((unverified) => unverified));
});

test("verified once: a chunk that is wrong on the server is found by who pulls it, and quarantined there", async () => {
  const storage = await spoilable();
  storage.spoil(9n);
  const here = new MemoryStorage();
  await rejects(pull(here, [serving(storage)], { retryFor: 0 }).result, "CORRUPT");
  assert.deepEqual(await quarantined(storage), [9n]);
  assert.deepEqual(await here.list(), []);
});

test("verified once: beside a good source the bad one is found out, too", async () => {
  const [bad, good] = [await spoilable(), await spoilable()];
  bad.spoil(9n);
  const here = new MemoryStorage();
  // The good one answers for content when the bad one has been asked, so that both are.
  let asked: () => void = () => {};
  const isAsked = new Promise<void>((resolve) => asked = resolve);
  const first = serving(bad, () => void asked(), "bad");
  const second = serving(good, (_request, _count, answer) => isAsked.then(answer), "good");
  await pull(here, [first, second]).result;
  await hasState(here);
  assert.deepEqual(await quarantined(bad), [9n]);
  assert.deepEqual(await quarantined(good), []);
});

test("verified once: what comes wrong by the way is asked for again, and nothing is quarantined", async () => {
  const storage = await spoilable();
  const { source, said } = watched(serving(storage, flipping((count) => count === 1)));
  const here = new MemoryStorage();
  const errors: SnapshotError[] = [];
  await pull(here, [source], { concurrency: 1, onSourceError: (error) => void errors.push(error) }).result;
  await hasState(here);
  assert.deepEqual(await quarantined(storage), []);
  assert.deepEqual(errors.map(({ code }) => code), ["UNAVAILABLE"]);
  assert.deepEqual(said.slice(0, 2), [true, false]);
  assert.isFalse(said.slice(1).some((verified) => verified));
});

test("verified once: who sends wrong bytes also when it is to verify them is dropped", async () => {
  const { source, said } = watched(serving(await spoilable(), flipping(() => true)));
  const here = new MemoryStorage();
  await rejects(pull(here, [source], { concurrency: 1, retryFor: 0 }).result, "CORRUPT");
  assert.deepEqual(said, [true, false]);
});

test("verified once: a remote snapshot is read so, too", async () => {
  const good = watched(serving(await spoilable(), flipping((count) => count === 1)));
  const reader = await openRemote(good.source);
  assert.isTrue(equal(await bytesOf(reader.file("state")), STATE));
  await reader.close();
  assert.deepEqual(good.said, [true, false]);

  const storage = await spoilable();
  storage.spoil(9n);
  const bad = await openRemote(serving(storage), { retryFor: 0 });
  const error = await bytesOf(bad.file("state")).then(() => undefined, (error) => error);
  assert.instanceOf(error, SnapshotError);
  await bad.close();
  assert.deepEqual(await quarantined(storage), [9n]);
});

test("verified once: what is pushed is verified by who takes it, and by who sends it when it came wrong", async () => {
  const storage = closing(await spoilable());
  const reads: boolean[] = [];
  const reader = closing(await storage.open());
  const seen = overriding(reader, {
    file(name: string, options: ReadOptions = {}) {
      reads.push(options.unverified === true);
      return reader.file(name, options);
    },
  });
  await push(seen, serving(closing(new MemoryStorage()))).result;
  assert.isTrue(reads.length > 0 && reads.every((unverified) => unverified));

  reads.length = 0;
  const there = closing(new MemoryStorage());
  const target = serving(there);
  let flips = 1;
  const fetch = (request: Request) => {
    if (request.method !== "PUT" || !/[0-9]$/.test(request.url) || flips-- <= 0) return target.fetch(request);
    const flip = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        const copy = piece.slice();
        if (copy.length > CHUNK) copy[copy.length - 1]! ^= 1;
        controller.enqueue(copy);
      },
    });
    const body = request.body!.pipeThrough(flip as TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>);
    return target.fetch(new Request(request, { body, duplex: "half" } as RequestInit));
  };
  await push(seen, { ...target, fetch }).result;
  await hasState(there);
  assert.deepEqual([...new Set(reads)], [true, false]);
  assert.deepEqual(await quarantined(storage), []);
});

test("verified once: a bad snapshot is found out by who is pushed it, and quarantined where it came from", async () => {
  const storage = closing(await spoilable());
  const reader = closing(await storage.open());
  storage.spoil(9n);
  const there = closing(new MemoryStorage());
  await rejects(push(reader, serving(there), { retryFor: 0 }).result, "CORRUPT");
  assert.deepEqual(await there.list(), []);
  await reader.close();
  assert.deepEqual(await quarantined(storage), [9n]);
});
