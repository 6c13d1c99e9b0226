// What is done over and over, on one machine: saves that succeed, fail, and are given up at any time.

import { archive, hasCode, MemoryStorage, type SnapshotErrorCode, type SnapshotStorage, unarchive } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { bytesOf, noise, pieces, turns } from "../support/harness.ts";
import { openReplica, type World } from "./world.ts";

/** Something that is done in a cycle. */
export type Cycle = (world: World) => Promise<void>;

/** Waits for something that may fail with these codes, and with no others. */
export async function tolerate(work: Promise<unknown>, ...codes: SnapshotErrorCode[]): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!hasCode(error, ...codes)) throw error;
  }
}

/** A signal that fires after some turns of the event loop, or some milliseconds, or at once. */
export function soon({ random }: World): AbortSignal {
  const stop = new AbortController();
  const turns = random.below(4) === 0 ? -1 : random.below(random.pick([5, 40, 200]));
  const reason = new Error("It is given up");
  if (turns < 0) stop.abort(reason);
  else if (turns > 150) setTimeout(() => stop.abort(reason), random.below(15));
  else {void (async () => {
      for (let i = 0; i < turns; i++) await null;
      stop.abort(reason);
    })();}
  return stop.signal;
}

/** Proposes a little, so that there is something to save. */
export async function propose({ leader, random }: World): Promise<void> {
  await Promise.all(Array.from({ length: 1 + random.below(4) }, () => leader.propose(leader.machine.put(random))));
}

/** Does something as soon as it can be done: what was given up before may be on its way out still, here or on a server. */
export async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + 10_000;;) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, "BUSY") || performance.now() > end) throw error;
      await turns(1);
    }
  }
}

/** Saves; fails if that does not succeed. */
export async function save(world: World): Promise<void> {
  await propose(world);
  await whenFree(() => world.leader.snapshot({ signal: world.forever }).result);
}

/** Writes a snapshot of nothing in particular, perhaps with a file of the last. */
export async function write(storage: SnapshotStorage, world: World): Promise<void> {
  const [newest] = await storage.list();
  const writer = await storage.create();
  try {
    if (newest !== undefined && world.random.chance(0.5)) {
      const reader = await storage.open();
      try {
        await writer.reuse(reader.manifest.files.slice(0, 1));
      } finally {
        await reader.close();
      }
    }
    for (let i = world.random.below(3); i >= 0; i--) {
      await pieces(noise(world.random.below(20_000), i), 5000).pipeTo(writer.file(`d/${world.random.next()}`));
    }
    const index = (newest?.meta.lastIncludedIndex ?? 0n) + 1n;
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  } finally {
    await writer.abort();
  }
}

export const CYCLES: Readonly<Record<string, Cycle>> = {
  save,

  "save cancelled": async (world) => {
    await propose(world);
    await tolerate(world.leader.snapshot({ signal: soon(world) }).result, "CANCELLED", "BUSY");
  },

  "save cancelled after": async (world) => {
    await propose(world);
    const stop = new AbortController();
    await whenFree(() => world.leader.snapshot({ signal: stop.signal }).result);
    stop.abort();
  },

  "save that fails": async (world) => {
    await propose(world);
    world.leader.machine.mischief = "throws";
    const saving = whenFree(() => world.leader.snapshot({ signal: world.forever }).result);
    const failed = await saving.then(() => false, () => true);
    if (!failed) throw new Error("It should have failed");
    await save(world); // which takes back the timer for trying again
  },

  "save that hangs": async (world) => {
    const storage = await DirectoryStorage.open(`${world.root}/hanging`, { durability: "none" });
    const replica = await openReplica(storage, { saveTimeout: 5, retry: { initial: 1e6 } });
    try {
      await replica.propose(replica.machine.put(world.random));
      replica.machine.mischief = "hangs";
      await tolerate(replica.snapshot({ signal: world.forever }).result, "TIMEOUT", "CANCELLED");
      if (replica.machine.views > 0) throw new Error("A view was not let go");
    } finally {
      await replica.close();
    }
  },

  "save watched for a while": async (world) => {
    await propose(world);
    await whenFree(async () => {
      const operation = world.leader.snapshot({ signal: world.forever });
      for await (const { bytes } of operation) if (bytes >= 0) break;
      await operation.result;
    });
  },

  "install that waits for a save": async (world) => {
    await propose(world);
    const saving = tolerate(world.leader.snapshot().result, "BUSY");
    const installing = world.leader.install([world.target], { signal: world.forever }).result;
    const installed = tolerate(installing, "STALE", "BUSY", "NOT_FOUND");
    await saving;
    await installed; // what is there, if anything, came from here
  },

  "disk that fails": async (world) => {
    world.failsAfter = world.random.below(60);
    try {
      await tolerate(write(world.faulty, world), "UNAVAILABLE", "CORRUPT", "BUSY");
    } finally {
      world.failsAfter = Infinity;
    }
    if (world.random.chance(0.2)) await world.reopenFaulty();
    await write(world.faulty, world);
  },

  "writer given up": async (world) => {
    const writer = await world.mirror.create();
    const stream = writer.file("a/b").getWriter();
    stream.closed.catch(() => {});
    const writing = stream.write(noise(world.random.below(100_000), 1)).catch(() => {});
    if (world.random.chance(0.5)) await stream.abort(new Error("given up")).catch(() => {});
    await writer.abort();
    await writing;
  },

  "reader dropped": async ({ leaderStorage, random }) => {
    const reader = await leaderStorage.open();
    const { name } = random.pick(reader.manifest.files);
    const stream = reader.file(name).getReader();
    await stream.read();
    if (random.chance(0.5)) await stream.cancel();
    await reader.close();
  },

  "archive dropped": async ({ leaderStorage, random, forever }) => {
    const reader = await leaderStorage.open();
    const stream = archive(reader).getReader();
    for (let i = random.below(4); i > 0; i--) await stream.read();
    await stream.cancel();
    await unarchive(archive(reader), new MemoryStorage(), { signal: forever }).result;
    await reader.close();
  },

  "archive cut short": async ({ leaderStorage, mirror, random, forever }) => {
    const reader = await leaderStorage.open();
    const bytes = await bytesOf(archive(reader));
    await reader.close();
    const cut = pieces(bytes.subarray(0, random.below(bytes.length)), 1000);
    await tolerate(unarchive(cut, mirror, { signal: forever }).result, "CORRUPT", "MALFORMED", "STALE");
  },

  "archive cancelled": async (world) => {
    const reader = await world.leaderStorage.open();
    const { result } = unarchive(archive(reader), world.mirror, { signal: soon(world) });
    await tolerate(result, "CANCELLED", "STALE");
    await reader.close();
  },

  verify: async (world) => {
    const reader = await world.leaderStorage.open();
    await reader.verify({ signal: world.forever }).result;
    await tolerate(reader.verify({ signal: soon(world) }).result, "CANCELLED");
    const verifying = tolerate(reader.verify().result, "CLOSED");
    await reader.close();
    await verifying;
  },

  "replica opened and closed": async (world) => {
    const durability = world.random.chance(0.1) ? "full" : "none";
    const storage = await DirectoryStorage.open(`${world.root}/opened`, { durability });
    const log = await SqliteLog.open(`${world.root}/opened.db`);
    const replica = await openReplica(storage, { log, triggers: { interval: 1e6 } });
    await replica.propose(replica.machine.put(world.random));
    const saving = tolerate(replica.snapshot().result, "CLOSED", "CANCELLED");
    if (world.random.chance(0.5)) await saving;
    await replica.close();
    await saving;
  },

  "replica that is not opened": async (world) => {
    const storage = await DirectoryStorage.open(`${world.root}/hanging`, { durability: "none" });
    await tolerate(DirectoryStorage.open(`${world.root}/hanging`), "BUSY");
    await storage.close();
  },
};
