// Following over real sockets, from disk to disk: restarts, cuts, purges, and the digest of a history that stays.

import { DatabaseSync } from "node:sqlite";
import { KeyValueMachine, Replica, type ReplicaOptions, snapshotHandler, utf8Codec } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

type Machine = KeyValueMachine<string>;

async function open(directory: string, options: Partial<ReplicaOptions<Machine>> = {}) {
  const machine: Machine = new KeyValueMachine(utf8Codec());
  const log = await SqliteLog.open(`${directory}.db`);
  const storage = await DirectoryStorage.open(directory, { durability: "none" });
  return await Replica.open({ machine, log, storage, ...options });
}

async function served(replica: Replica<Machine>, port = 0): Promise<Server> {
  return await serve(snapshotHandler(replica.storage, { target: replica, allowWrites: true }), { port });
}

function put(replica: Replica<Machine>, count: number, from = 0): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, i) => {
    return replica.propose(replica.machine.put(`k${from + i}`, `v${from + i}`));
  }));
}

test("a follower on a disk goes on where it was, after it and its leader were opened anew", () =>
  inTemp(async (root) => {
    let leader = await open(`${root}/leader`);
    let server = await served(leader);
    const { url } = server;
    const port = Number(new URL(url).port);
    await put(leader, 500);
    let second = await open(`${root}/second`);
    await second.follow([url]).caughtUp(500n);
    await second.close();
    await put(leader, 100, 500);
    second = await open(`${root}/second`);
    const connected: bigint[] = [];
    let reconnected = Promise.withResolvers<void>();
    const follower = second.follow([url], {
      onEvent(event: FollowerEvent) {
        if (event.type !== "connected") return;
        connected.push(event.from);
        reconnected.resolve();
      },
    });
    await follower.caughtUp(600n);
    assert.deepEqual(connected, [501n]);
    reconnected = Promise.withResolvers<void>();
    await server.close();
    await leader.close();
    leader = await open(`${root}/leader`);
    server = await served(leader, port);
    await reconnected.promise;
    await put(leader, 10, 600);
    await follower.caughtUp(610n);
    assert.equal(second.machine.size, 610);
    assert.deepEqual(await second.log!.digest(610n), await leader.log!.digest(610n));
    await second.close();
    await server.close();
    await leader.close();
  }));

test("the digest of a history is kept by a log that is purged, reset and opened anew", () =>
  inTemp(async (root) => {
    const entries = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => ({
        index: BigInt(from + i),
        term: 1n,
        data: new Uint8Array(9).fill(i),
        ...(i % 3 === 0 && { time: 1000 + i }),
        ...(i % 5 === 0 && { configuration: { peers: ["a"], ...(i % 2 === 0 && { oldPeers: [] }) } }),
      }));
    let log = await SqliteLog.open(`${root}/log.db`);
    await log.append(entries(1, 3000));
    const known = await log.digest(2999n);
    const before = await log.digest(1000n);
    await log.purge(2000n);
    assert.deepEqual(await log.digest(2999n), known);
    await log.close();
    log = await SqliteLog.open(`${root}/log.db`);
    assert.deepEqual(await log.digest(2999n), known);
    assert.equal(await log.digest(1000n), undefined);
    await log.purge(3000n);
    await rejects(SqliteLog.open(`${root}/log.db`), "BUSY");
    await log.append(entries(3001, 2));
    await rejects(log.bindDigest(known!), "STALE");
    await log.reset(9000n, 3n);
    await log.bindDigest(before!);
    await log.close();
    log = await SqliteLog.open(`${root}/log.db`);
    assert.deepEqual(await log.digest(9000n), before);
    await log.close();
  }));

test("a log that a release without times and digests wrote is opened, goes on, and has the times of what comes", () =>
  inTemp(async (root) => {
    const database = new DatabaseSync(`${root}/log.db`);
    database.exec(`
      CREATE TABLE entries (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL, configuration TEXT);
      CREATE TABLE base (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL, term INTEGER NOT NULL);
      INSERT INTO base VALUES (0, 0, 0);
      CREATE TABLE log_group (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL);
      INSERT INTO entries VALUES (1, 1, x'0102', NULL), (2, 1, x'03', '{"peers":["a"]}');
    `);
    database.close();
    const log = await SqliteLog.open(`${root}/log.db`);
    await log.append([{ index: 3n, term: 1n, data: Uint8Array.of(4), time: 77 }]);
    assert.deepEqual(await Array.fromAsync(log.entries(1n)), [
      { index: 1n, term: 1n, data: Uint8Array.of(1, 2) },
      { index: 2n, term: 1n, data: Uint8Array.of(3), configuration: { peers: ["a"] } },
      { index: 3n, term: 1n, data: Uint8Array.of(4), time: 77 },
    ]);
    assert.equal((await log.digest(3n))?.length, 32);
    await log.close();
  }));

test("curl and people see the log: lines of JSON, ranges, and what is gone", () =>
  inTemp(async (root) => {
    const leader = await open(`${root}/leader`, { purge: { gap: 1, upToSnapshotIndex: "newest" } });
    const server = await served(leader);
    await put(leader, 20);
    await leader.snapshot().result;
    await put(leader, 5, 20);
    const get = async (path: string, accept = "*/*") => {
      const response = await fetch(`${server.url}${path}`, { headers: { Accept: accept } });
      return { status: response.status, text: await response.text(), headers: response.headers };
    };
    const { text } = await get("/log?from=22&to=23", "application/json");
    const lines = text.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ index, first, end }) => index ?? first ?? end), ["22", "22", "23", "23"]);
    assert.include(lines[1].text, "v21");
    const gone = await get("/log?from=3");
    assert.deepEqual([gone.status, gone.headers.get("Log-First"), JSON.parse(gone.text).code], [
      410,
      "21",
      "NOT_FOUND",
    ]);
    const state = JSON.parse((await get("/log")).text);
    assert.deepEqual([state.first, state.last, state.role], ["21", "25", "leader"]);
    for (
      const [path, status] of [
        ["/log?from=27", 409],
        ["/log?from=0", 400],
        ["/log?from=x", 400],
        ["/log?from=99999999999999999999", 400],
        ["/log?from=22&to=21", 400],
        [`/log?from=22&digest=${"0".repeat(64)}`, 409],
        ["/log?index=3", 404],
        ["/log/x", 404],
        ["/logs", 404],
      ] as const
    ) {
      assert.equal((await get(path)).status, status, path);
    }
    await server.close();
    await leader.close();
  }));
