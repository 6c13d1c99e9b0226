// Which snapshots stay: by number, by age, by a function; never none, and never one that is pinned less.

import {
  MemoryStorage,
  type SnapshotError,
  type SnapshotInfo,
  type SnapshotStorage,
  type StorageOptions,
} from "../../mod.ts";
import { MemoryBucket } from "../../src/object.ts";
import { openStorage } from "../support/object_storage.ts";
import { assert, pieces, rejects, test } from "../support/harness.ts";

const HOUR = 3600_000;

/** Runs a test with a storage of each kind. */
function onEach(
  name: string,
  run: (open: (options: StorageOptions) => Promise<SnapshotStorage>) => Promise<void>,
): void {
  test(`retention, in memory: ${name}`, () => run((options) => Promise.resolve(new MemoryStorage(options))));
  test(`retention, in a bucket: ${name}`, () => run((options) => openStorage(new MemoryBucket(), options)));
}

async function save(storage: SnapshotStorage, index: bigint, createdAt: number): Promise<void> {
  const writer = await storage.create();
  await pieces(new Uint8Array(10)).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], createdAt });
}

async function indices(storage: SnapshotStorage): Promise<bigint[]> {
  return (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
}

onEach("by age, and by number beside", async (open) => {
  const storage = await open({ retain: { count: 2, age: HOUR } });
  await save(storage, 1n, 0);
  await save(storage, 2n, 0.4 * HOUR);
  await save(storage, 3n, 0.5 * HOUR);
  await save(storage, 4n, HOUR);
  assert.deepEqual(await indices(storage), [4n, 3n, 2n, 1n]); // one of just an hour is kept
  await save(storage, 5n, 1.41 * HOUR);
  assert.deepEqual(await indices(storage), [5n, 4n, 3n]);
  await save(storage, 6n, 100 * HOUR);
  assert.deepEqual(await indices(storage), [6n, 5n]); // however old that is
  await save(storage, 7n, 0); // a clock that was set back makes nothing old
  assert.deepEqual(await indices(storage), [7n, 6n, 5n]);
  await storage.close();
});

onEach("by age alone, two are kept whatever the clock says", async (open) => {
  const storage = await open({ retain: { age: 1 } });
  for (const index of [1n, 2n, 3n]) await save(storage, index, Number(index) * 1e12);
  assert.deepEqual(await indices(storage), [3n, 2n]);
  assert.equal(storage.retain, 2);
  await storage.close();
});

onEach("by a function over the list", async (open) => {
  const lists: bigint[][] = [];
  const retain = (list: readonly SnapshotInfo[]) => {
    lists.push(list.map(({ meta }) => meta.lastIncludedIndex));
    return list.filter(({ meta }) => meta.lastIncludedIndex % 10n === 0n); // the newest is not among them
  };
  const storage = await open({ retain });
  for (let i = 8n; i <= 23n; i += 3n) await save(storage, i, 0);
  await save(storage, 30n, 0);
  await save(storage, 31n, 0);
  assert.deepEqual(await indices(storage), [31n, 30n, 20n]);
  assert.deepInclude(lists, [31n, 30n, 20n]);
  assert.equal(storage.retain, 1);
  await storage.close();
});

onEach("one that is pinned stays until it is closed", async (open) => {
  const storage = await open({ retain: (list) => list.slice(0, 1) });
  await save(storage, 1n, 0);
  const reader = await storage.open();
  await save(storage, 2n, 0);
  assert.deepEqual(await indices(storage), [2n, 1n]);
  await reader.close();
  await save(storage, 3n, 0);
  assert.deepEqual(await indices(storage), [3n]);
  await storage.close();
});

const WRONG: Record<string, (list: readonly SnapshotInfo[]) => unknown> = {
  "that throws": () => {
    throw new Error("out of luck");
  },
  "that wants to keep nothing": () => [],
  "that returns nothing": () => undefined,
  "that returns a promise": (list) => Promise.resolve(list),
  "that returns indices": (list) => list.map(({ meta }) => meta.lastIncludedIndex),
  "that makes one up": (list) => [{ ...list[0], meta: { ...list[0]!.meta, lastIncludedIndex: 99n } }],
  "that is a class": class {} as unknown as (list: readonly SnapshotInfo[]) => unknown,
};

for (const [kind, retain] of Object.entries(WRONG)) {
  onEach(`a function ${kind} removes nothing, and is told of`, async (open) => {
    const warnings: SnapshotError[] = [];
    const storage = await open({
      retain: retain as (list: readonly SnapshotInfo[]) => SnapshotInfo[],
      onWarning: (warning) => warnings.push(warning),
    });
    for (const index of [1n, 2n, 3n, 4n]) await save(storage, index, 0);
    assert.deepEqual(await indices(storage), [4n, 3n, 2n, 1n]);
    assert.isNotEmpty(warnings);
    for (const { code, message } of warnings) {
      assert.equal(code, "MALFORMED");
      assert.include(message, "`retain`");
    }
    await storage.close();
  });
}

test("retention: limits that are none", async () => {
  for (const retain of [{}, { count: 0 }, { age: -1 }, { count: 1.5 }, [], null, 0, "2"]) {
    await rejects(async () => await Promise.resolve(new MemoryStorage({ retain: retain as number })), "MALFORMED");
  }
});
