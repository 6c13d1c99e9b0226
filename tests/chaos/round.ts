// One install, through a bad network, until it is there. Every failure on the way must be a typed error.

import {
  MemoryStorage,
  pull,
  push,
  SnapshotError,
  type SnapshotHandler,
  snapshotHandler,
  type SnapshotStorage,
  unarchive,
} from "../../mod.ts";
import { toHex } from "../../src/stream/mod.ts";
import { noise, pieces, turns } from "../support/harness.ts";
import { CONNECTION_RESET, type FaultCounts, Network } from "./network.ts";
import { Random } from "../support/random.ts";

/** What rounds gave, in all. */
export interface Totals {
  rounds: number;
  /** Installs that ended equal to their source. */
  installs: number;
  attempts: number;
  bytes: number;
  /** Processes that were killed. */
  kills: number;
  readonly faults: FaultCounts;
  /** Typed errors on the way, by code. */
  readonly errors: Record<string, number>;
}

/** Totals of nothing. */
export function noTotals(): Totals {
  return { rounds: 0, installs: 0, attempts: 0, bytes: 0, kills: 0, faults: {}, errors: {} };
}

/** How often an install may fail before the network is mended, after which it must succeed. */
const PATIENCE = 12;

/** Files of any kind: none, empty ones, many small ones, and large ones with much that is the same. */
export async function randomSnapshot(
  storage: SnapshotStorage,
  index: bigint,
  random: Random,
  most: number,
): Promise<void> {
  const writer = await storage.create();
  const files = random.pick([0, 1, 1, 2, 5, 30]);
  for (let i = 0; i < files; i++) {
    const size = random.pick([0, 1, 1000, 65_536, 65_537, random.below(most), random.below(most)]);
    const content = random.chance(0.2) ? new Uint8Array(size) : noise(size, random.pick([1, 2, 3, random.below(1e9)]));
    const chunkSize = random.pick([65_536, 65_536, 100_000, 262_144, "pieces"] as const);
    const piece = 1 + random.below(random.pick([70_000, 300_000]));
    await pieces(content, Math.max(piece, 5000)).pipeTo(writer.file(`d${i % 3}/f${i}`, { chunkSize }));
  }
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
}

/** Whether a snapshot in one storage is that of another, to the last bit. */
export async function isSame(here: SnapshotStorage, there: SnapshotStorage, index: bigint): Promise<boolean> {
  const [a, b] = [await here.open(index), await there.open(index)];
  try {
    return toHex(a.manifest.digest) === toHex(b.manifest.digest) && (await a.verify().result).ok;
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

/**
 * Plays a round in memory.
 *
 * @throws if anything is not as it should be
 */
export async function playRound(seed: number, totals: Totals): Promise<void> {
  const random = new Random(seed);
  const [leader, here] = [new MemoryStorage(), new MemoryStorage()];
  let index = 5n;
  await randomSnapshot(leader, index, random, 3_000_000);
  if (random.chance(0.5)) await randomSnapshot(here, 2n, random, 1_000_000);
  const old = (await here.list()).length;
  const handlers: SnapshotHandler[] = [];
  const newHandler = (storage: SnapshotStorage) => {
    const handler = snapshotHandler(storage, { allowWrites: true, maxTransfers: random.pick([1, 2, 32]) });
    handlers.push(handler);
    return handler;
  };
  const network = new Network(random, random.pick([0.1, 0.3, 0.6, 0.9]), totals.faults);
  const how = random.pick(["pull", "pull", "pull", "push", "archive"]);
  const servers = Array.from({ length: random.pick([1, 1, 2, 4]) }, () => newHandler(leader));
  const receiver = newHandler(here);
  const sources = servers.map((server, i) => ({ url: `http://s${i}`, fetch: network.between(server) }));

  const attempt = async (): Promise<void> => {
    const limits = { timeout: 150, retryFor: 100 };
    if (how === "pull") {
      await pull(here, sources, { ...limits, concurrency: random.pick([1, 3]) }).result;
    } else if (how === "push") {
      const reader = await leader.open();
      try {
        await push(reader, { url: "http://here", fetch: network.between(receiver) }, limits).result;
      } finally {
        await reader.close();
      }
    } else {
      const stop = AbortSignal.timeout(2000);
      const asked = new Request(`http://s0/snapshots/latest/archive`, { signal: stop });
      const response = await sources[0]!.fetch(asked).catch((error) => {
        throw new SnapshotError("UNAVAILABLE", String(error));
      });
      const { body } = response;
      if (body === null) throw new SnapshotError("UNAVAILABLE", "no body");
      await unarchive(body, here, { signal: stop }).result;
    }
  };

  try {
    for (let tries = 0;; tries++) {
      if (tries === PATIENCE) network.badness = 0;
      if (tries === PATIENCE + 2) throw new Error("It does not succeed on a network that is mended");
      totals.attempts++;
      try {
        await attempt();
        break;
      } catch (error) {
        // Whoever gives `unarchive` a stream that fails gets the stream's own error.
        const isOwn = how === "archive" && error instanceof TypeError && error.message === CONNECTION_RESET;
        if (!(error instanceof SnapshotError) && !isOwn) throw error;
        const code = error instanceof SnapshotError ? error.code : "(the stream's own)";
        totals.errors[code] = (totals.errors[code] ?? 0) + 1;
        const [newest] = await here.list();
        if (newest?.meta.lastIncludedIndex === index) break; // it arrived, and the answer did not
      }
      if ((await here.list()).length !== old) throw new Error("A snapshot is there that nobody acknowledged");
      if (random.chance(0.1)) await randomSnapshot(leader, ++index, random, 2_000_000); // superseded
    }
    const [newest] = await here.list();
    if (!await isSame(here, leader, newest!.meta.lastIncludedIndex)) throw new Error("It is not what was sent");
    await Promise.all(handlers.map((handler) => handler.close()));
    const isPinned = async () => (await leader.list()).some(({ pinned }) => pinned);
    for (let i = 0; i < 100 && await isPinned(); i++) await turns(1); // what was cut is still being let go
    if (await isPinned()) throw new Error("The source is still pinned");
    totals.installs++;
    totals.bytes += newest!.size;
  } finally {
    await Promise.all(handlers.map((handler) => handler.close()));
    await Promise.all([leader.close(), here.close()]);
    totals.rounds++;
  }
}
