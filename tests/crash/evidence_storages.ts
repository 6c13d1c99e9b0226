// Each grade of evidence, on each medium, at each moment, and two at once: nothing good is moved or deleted, and whatever
// fails says so with a code. When what went wrong is over, all that was committed is there, and right.

import {
  EncryptedStorage,
  MemoryStorage,
  pull,
  SnapshotError,
  snapshotHandler,
  type SnapshotStorage,
} from "../../mod.ts";
import { ObjectStorage } from "../../src/object.ts";
import { bytesOf, noise } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import {
  checkWhole,
  contentOf,
  type Fault,
  GRADES,
  RETAIN,
  save,
  TARGETS,
  type World,
  type WorldKind,
} from "./evidence_media.ts";
import { worlds } from "./evidence_worlds.ts";
import { missingOf } from "../support/installs.ts";

/** What was looked at. */
export interface EvidenceCounts {
  cases: number;
  /** How often something was quarantined, and restored in the end: bytes that were wrong each time, and are right now. */
  restored: number;
  /** How often an action failed, by the code of its error. */
  readonly errors: Record<string, number>;
}

/** What is being done when something goes wrong. Returns the index of what it committed. */
type Moment = (world: World, storage: () => Promise<SnapshotStorage>) => Promise<bigint | undefined>;

const MOMENTS: Readonly<Record<string, Moment>> = {
  open: async (_, storage) => void await storage(),
  list: async (_, storage) => {
    const opened = await storage();
    await opened.list();
    await opened.unreadable();
    await opened.quarantined();
    return undefined;
  },
  read: async (_, storage) => {
    const reader = await (await storage()).open();
    try {
      for (const { name } of reader.manifest.files) await bytesOf(reader.file(name));
    } finally {
      await reader.close();
    }
    return undefined;
  },
  "read all": async (_, storage) => {
    const opened = await storage();
    for (const index of [3n, 2n, 1n]) {
      const reader = await opened.open(index).catch(typed);
      if (reader === undefined) continue;
      await reader.verify().result.catch(typed);
      await bytesOf(reader.file("state")).catch(typed);
      await reader.close();
    }
    return undefined;
  },
  serve: async (_, storage) => {
    const handler = snapshotHandler(await storage(), { allowWrites: true });
    try {
      for (const path of ["", "/latest/manifest", "/3/files/state", "/2/archive", "/latest/archive"]) {
        const response = await handler(new Request(`http://here/snapshots${path}`));
        await bytesOf(response.body as ReadableStream<Uint8Array>).catch(() => {});
      }
    } finally {
      await handler.close();
    }
    return undefined;
  },
  "pull from": async (_, storage) => {
    const handler = snapshotHandler(await storage(), { allowWrites: true });
    const there = new MemoryStorage();
    try {
      await pull(there, [{ url: "http://here", fetch: handler }], { retryFor: 100 }).result;
    } finally {
      await handler.close();
      await there.close();
    }
    return undefined;
  },
  save: async (_, storage) => {
    await save(await storage(), 4n);
    return 4n;
  },
  install: async (_, storage) => {
    const opened = await storage();
    const install = await opened.install(await received(opened));
    try {
      await install.prepare();
      const there = await (await source(opened)).open();
      for (const { number, name, start, end } of missingOf(install)) {
        await install.write(number, await bytesOf(there.file(name, { start, end, raw: true })));
      }
      await install.commit();
    } finally {
      await install.close();
    }
    return 9n;
  },
  collect: async (_, storage) => {
    const opened = await storage();
    if (opened instanceof ObjectStorage) await opened.collect();
    await save(opened, 4n);
    if (opened instanceof ObjectStorage) await opened.collect().catch(typed); // 4 is committed all the same
    return 4n;
  },
  quarantine: async (_, storage) => {
    const opened = await storage();
    for (const index of [3n, 2n, 1n]) await opened.quarantine(index, "a rumour");
    return undefined;
  },
};

const KEY = { id: "a", secret: noise(32, 1) };

/** A snapshot of others, encrypted or not, as the storage takes it. */
const SOURCES = new Map<boolean, Promise<SnapshotStorage>>();
function source(storage: SnapshotStorage): Promise<SnapshotStorage> {
  const isEncrypted = storage instanceof EncryptedStorage;
  const made = SOURCES.get(isEncrypted) ?? (async () => {
    const made = isEncrypted ? new EncryptedStorage(new MemoryStorage(), [KEY]) : new MemoryStorage();
    await save(made, 9n);
    return made;
  })();
  SOURCES.set(isEncrypted, made);
  return made;
}
async function received(storage: SnapshotStorage) {
  const reader = await (await source(storage)).open();
  await reader.close();
  return reader.manifest;
}

function typed(error: unknown): undefined {
  if (!(error instanceof SnapshotError)) throw error;
}

/** All single faults. */
function singles(): Fault[] {
  return GRADES.flatMap((grade) =>
    TARGETS.flatMap((target) => [true, false].map((once): Fault => ({ grade, target, once })))
  );
}

/** Plays all cases, or a share of those with two faults; throws at the first in which something good is lost. */
export async function proveStorages(
  seed: number,
  shares: { readonly one: number; readonly two: number },
  counts: EvidenceCounts,
  kinds: readonly WorldKind[] = worlds(),
): Promise<void> {
  const random = new Random(seed);
  const all = singles();
  for (const kind of kinds) {
    for (const [moment, act] of Object.entries(MOMENTS)) {
      for (const late of [false, true]) { // from the opening on, or after it
        if (moment === "open" && late) continue;
        const cases: Fault[][] = all.filter(() => random.chance(shares.one)).map((fault) => [fault]);
        const pairs = Math.round(all.length * (all.length - 1) / 2 * shares.two);
        for (let i = 0; i < pairs; i++) cases.push([random.pick(all), random.pick(all)]);
        for (const faults of cases) {
          const what = `${kind.name}, ${moment}${late ? " after opening" : ""}: ${
            faults.map(({ grade, target, once }) => `${target} ${grade}${once ? " once" : ""}`).join(" and ")
          }`;
          try {
            const world = await kind.make();
            await playOne(world, act, faults, late, counts);
            await world.close?.();
          } catch (error) {
            throw new Error(`${what}: ${error}`, { cause: error });
          }
        }
      }
    }
  }
}

async function playOne(
  world: World,
  act: Moment,
  faults: readonly Fault[],
  late: boolean,
  counts: EvidenceCounts,
): Promise<void> {
  counts.cases++;
  let storage: SnapshotStorage | undefined;
  let committed: bigint | undefined;
  if (late) storage = await world.open();
  world.faults.set(faults);
  await hurried(world.haste ?? 1000, async () => {
    try {
      committed = await act(world, async () => storage ??= await world.open());
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      counts.errors[error.code] = (counts.errors[error.code] ?? 0) + 1;
    }
    // Opened while all is away, it is another one, in its place.
    if (!late && world.hasAnother === true && world.faults.away) committed = undefined;
    await storage?.close().catch(typed);
  });
  world.faults.set([]);
  const bad = ["bad", "other", ...world.shortIsBad === true ? ["short"] : []];
  // What is wrong twice, in the same way, is not a doubt any more.
  const wrong = faults.filter(({ grade }) => bad.includes(grade));
  const mayBeBad = wrong.length > 1 || wrong.some(({ once }) => !once);
  await checkAll(await world.open(), committed, mayBeBad, counts);
}

/** Does something while what is waited for comes many times sooner: attempts that fail are made again soon. */
async function hurried(times: number, work: () => Promise<void>): Promise<void> {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = ((work: () => void, ms = 0) => setTimeout(work, ms / times)) as typeof setTimeout;
  try {
    await work();
  } finally {
    globalThis.setTimeout = setTimeout;
  }
}

/** All that was committed is there and right; what was quarantined was read wrongly each time, and can be restored. */
async function checkAll(
  storage: SnapshotStorage,
  committed: bigint | undefined,
  mayBeBad: boolean,
  counts: EvidenceCounts,
): Promise<void> {
  const quarantined = await storage.quarantined();
  if (!mayBeBad && quarantined.length > 0) throw new Error(`Snapshot ${quarantined[0]!.index} was quarantined`);
  for (const { index } of quarantined) {
    await storage.restore(index);
    counts.restored++;
  }
  const unreadable = await storage.unreadable();
  if (unreadable.length > 0) throw unreadable[0]!.error;
  const listed = (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
  const must = [3n, 2n, 1n, ...(committed === undefined ? [] : [committed])].sort((a, b) => a > b ? -1 : 1);
  for (const index of must.slice(0, RETAIN)) {
    if (!listed.includes(index)) throw new Error(`Snapshot ${index} is not among ${listed}`);
  }
  for (const index of listed) {
    if (contentOf(index) !== undefined) await checkWhole(storage, index);
  }
  await save(storage, 20n);
  await checkWhole(storage, 20n);
  await storage.close();
}
