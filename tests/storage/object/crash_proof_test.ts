import { hasCode, SnapshotError, type SnapshotManifest } from "../../../mod.ts";
import type { Bucket } from "../../../src/bucket/mod.ts";
import { MemoryBucket } from "../../../src/object.ts";
import { decodeIndex } from "../../../src/storage/object/index.ts";
import { FaultyBucket } from "../../support/faulty_bucket.ts";
import { later } from "../../support/fake_clock.ts";
import { assert, bytesOf, test } from "../../support/harness.ts";
import { checkContent, type Content, litterOf, mixed, openStorage, save, spoil } from "../../support/object_storage.ts";
import { missingOf } from "../../support/installs.ts";

const DAYS = 24 * 3600_000;

/** What was acknowledged. */
interface Acknowledged {
  /** The snapshots that must be there, the newest first: no more than two. */
  snapshots: { readonly index: bigint; readonly content: Content }[];
  /** One that was about to be put aside. */
  quarantining?: bigint;
}

function contentOf(seed: number): Content {
  return { a: mixed(150_000, 132_000, seed), [`dir/b${seed % 2}`]: mixed(70_000, 0, seed), empty: new Uint8Array(0) };
}

/** Everything that a storage does, one after the other. */
async function flow(bucket: Bucket, inner: Bucket, acknowledged: Acknowledged, received: Received): Promise<void> {
  let storage = await openStorage(bucket);
  const saved = async (index: bigint) => {
    const content = contentOf(Number(index));
    await save(storage, index, content);
    acknowledge(acknowledged, index, content);
  };
  try {
    for (const index of [1n, 2n, 3n]) await saved(index);
    const given = await storage.create();
    await new Blob([new Uint8Array(100_000)]).stream().pipeTo(given.file("x"));
    await given.abort();
    for (const rounds of [1, Infinity]) { // interrupted, and gone on with after a restart
      const install = await storage.install(received.manifest);
      await install.prepare();
      let round = 0;
      for (const { number, name, chunk } of missingOf(install)) {
        if (round++ < rounds) await install.write(number, received.chunk(name, chunk));
      }
      if (rounds === Infinity) await install.commit();
      await install.close();
      await storage.close();
      storage = await openStorage(bucket);
    }
    acknowledge(acknowledged, received.manifest.index, received.content);
    acknowledged.quarantining = received.manifest.index;
    await spoil(inner, received.manifest.index);
    await storage.quarantine(received.manifest.index, "a test");
    acknowledged.snapshots.shift();
    await saved(11n);
    await saved(12n);
    await storage.collect();
  } finally {
    await storage.close().catch(() => {});
  }
}

function acknowledge(acknowledged: Acknowledged, index: bigint, content: Content): void {
  acknowledged.snapshots = [{ index, content }, ...acknowledged.snapshots].slice(0, 2);
}

interface Received {
  readonly manifest: SnapshotManifest;
  readonly content: Content;
  chunk(name: string, chunk: number): Uint8Array;
}

/** A snapshot to be received. */
async function receivable(): Promise<Received> {
  const content = contentOf(10);
  const storage = await openStorage(new MemoryBucket());
  await save(storage, 10n, content);
  const { manifest } = await storage.open();
  await storage.close();
  return {
    manifest,
    content,
    chunk(name, i) {
      const chunks = manifest.file(name).chunks!;
      return content[name]!.subarray(chunks.offset(i), chunks.offset(i) + chunks.length(i));
    },
  };
}

/** Checks what must hold whatever happened: what was acknowledged is there; all goes on; in the end there is no litter. */
async function checkPromise(bucket: Bucket, { snapshots, quarantining }: Acknowledged, what: string): Promise<void> {
  const storage = await openStorage(bucket);
  try {
    const there = (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
    for (const index of there) {
      const known = snapshots.find((snapshot) => snapshot.index === index);
      const reader = await storage.open(index);
      const { ok } = await reader.verify().result;
      assert.isTrue(ok || index === quarantining, `${what}: snapshot ${index} verifies`);
      await reader.close();
      if (known !== undefined && ok) await checkContent(storage, index, known.content);
    }
    const must = snapshots.filter(({ index }) => index !== quarantining);
    const unknown = there.filter((index) => !snapshots.some((snapshot) => snapshot.index === index)).length;
    for (const { index } of must.slice(0, 2 - unknown)) assert.include(there, index, `${what}: acknowledged`);
    await save(storage, 100n, contentOf(100));
    await later(9 * DAYS, async () => {
      await storage.collect();
      await save(storage, 101n, contentOf(101)); // retires, and collects
      await storage.collect();
    });
    await checkContent(storage, 101n, contentOf(101));
    const { quarantined } = await decodeIndex(await bytesOf((await bucket.get("index"))!.body), "index");
    assert.isAtMost(quarantined.length, quarantining === undefined ? 0 : 1, `${what}: kept for a person`);
    const litter = await litterOf(bucket, 2 + quarantined.length);
    assert.deepEqual(litter, [], `${what}: litter`);
  } finally {
    await storage.close();
  }
}

test("object storage: a crash at any request, before or after it is done, loses nothing, and leaves nothing", async () => {
  const received = await receivable();
  const whole = new FaultyBucket(new MemoryBucket(), () => undefined);
  await flow(whole, whole.bucket, { snapshots: [] }, received);
  assert.isAbove(whole.calls.length, 60);
  for (const [number, { verb, key }] of whole.calls.entries()) {
    // What was read changes nothing: a crash after it is one before the next call.
    for (const when of verb === "put" || verb === "delete" ? ["before", "after"] as const : ["before"] as const) {
      const bucket = new MemoryBucket();
      const acknowledged: Acknowledged = { snapshots: [] };
      const crashed = await flow(crashing(bucket, number, when), bucket, acknowledged, received).catch((error) =>
        error
      );
      // Leases of readers come and go: another time there may be a call less.
      if (crashed !== undefined && !hasCode(crashed, "FORBIDDEN")) throw crashed;
      await checkPromise(bucket, acknowledged, `crash ${when} call ${number}, ${verb} ${key}`);
    }
  }
});

/** A bucket that nobody reaches any more after a call. */
function crashing(bucket: Bucket, number: number, when: "before" | "after"): Bucket {
  let calls = 0;
  const dead = () => new SnapshotError("FORBIDDEN", "The process was killed");
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    const mine = calls++;
    if (mine > number || mine === number && when === "before") throw dead();
    const result = await work();
    if (mine === number) throw dead();
    return result;
  };
  return {
    get: (key, options) => guard(() => bucket.get(key, options)),
    put: (key, body, options) => guard(() => bucket.put(key, body, options)),
    delete: (keys, options) => guard(() => bucket.delete(keys, options)),
    list: (options) => guard(() => bucket.list(options)),
  };
}
