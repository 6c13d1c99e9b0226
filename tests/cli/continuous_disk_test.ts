// `log`, `follow`, `backup` and `restore`, by the program itself, beside a replica that is served.

import process from "node:process";
import { KeyValueMachine, Replica, snapshotHandler, utf8Codec } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { run, runHere, start, text } from "./support.ts";

async function openReplica(directory: string) {
  const machine = new KeyValueMachine(utf8Codec());
  const log = await SqliteLog.open(`${directory}/log.db`);
  const storage = await DirectoryStorage.open(`${directory}/snapshots`);
  return await Replica.open({ machine, log, storage });
}

function within(
  work: (it: {
    readonly leader: Awaited<ReturnType<typeof openReplica>>;
    readonly url: string;
    readonly root: string;
    put(count: number): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  return inTemp(async (root) => {
    const leader = await openReplica(`${root}/leader`);
    const handler = snapshotHandler(leader.storage, { target: leader, allowWrites: true });
    const server = await serve(handler, { port: 0 });
    let count = 0;
    const put = async (times: number) => {
      for (let i = 0; i < times; i++) await leader.propose(leader.machine.put(`k${count}`, `v${count++}`));
    };
    try {
      await work({ leader, url: server.url, root, put });
    } finally {
      await server.close();
      await handler.close();
      await leader.close();
    }
  });
}

const json = (outcome: Awaited<ReturnType<typeof run>>) => {
  assert.strictEqual(outcome.code, 0, outcome.stderr);
  return JSON.parse(text(outcome));
};

test("cli: a standby is kept on the disk, and a program goes on with it", () =>
  within(async ({ leader, url, root, put }) => {
    await put(20);
    await leader.snapshot().result;
    await put(5);
    const lines = text(await run(["log", url, "--from", "22"])).trim().split("\n");
    assert.deepEqual(lines.map((line) => line.split("  ")[0]), ["22", "23", "24", "25"]);
    assert.strictEqual(json(await run(["follow", url, `${root}/standby`, "--once", "--json"])).index, "25");
    await put(3);
    assert.strictEqual(json(await runHere(["follow", url, `${root}/standby`, "--once", "--json"])).index, "28");
    const entry = JSON.parse(text(await runHere(["log", `${root}/standby`, "--from", "28", "--json"])));
    assert.deepEqual([entry.index, entry.term, typeof entry.time], ["28", "1", "string"]);
    const standby = await openReplica(`${root}/standby`);
    assert.deepEqual([standby.machine.size, standby.machine.get("k27")], [28, "v27"]);
    await standby.close();
  }));

test("cli: a directory is backed up beside the program that has it open, while that writes and purges", () =>
  within(async ({ leader, root, put }) => {
    const bucket = `${root}/bucket`;
    await put(30);
    await leader.snapshot().result;
    await put(5);
    let isOver = false;
    const writing = (async () => {
      while (!isOver) await leader.propose(leader.machine.put("again", "x".repeat(1000)));
    })();
    const { lastIndex } = leader.status();
    const { index, snapshot } = json(await run(["backup", `${root}/leader`, bucket, "--json"]));
    isOver = true;
    await writing;
    assert.isTrue(BigInt(index) >= lastIndex, `${index} of ${lastIndex}`);
    assert.equal(snapshot, "30");
    assert.strictEqual(json(await run(["restore", bucket, `${root}/restored`, "--json"])).index, index);
    const restored = await openReplica(`${root}/restored`);
    assert.deepEqual([restored.machine.get("k34"), restored.machine.get("again")?.length], ["v34", 1000]);
    assert.deepEqual(await restored.log!.digest(BigInt(index)), await leader.log!.digest(BigInt(index)));
    await restored.close();
  }));

test("cli: a server is backed up from beside, again and again, and restored to any point", () =>
  within(async ({ leader, url, root, put }) => {
    const bucket = `${root}/bucket`;
    await put(20);
    await leader.snapshot().result;
    await put(5);
    assert.deepEqual(json(await run(["backup", url, bucket, "--once", "--json"])), { index: "25", snapshot: "20" });
    await put(5);
    assert.strictEqual(json(await runHere(["backup", url, bucket, "--once", "--json"])).index, "30");
    assert.strictEqual(json(await runHere(["restore", bucket, `${root}/a`, "--json"])).index, "30");
    const point = json(await runHere(["restore", bucket, `${root}/b`, "--index", "27", "--json"]));
    assert.strictEqual(point.index, "27");
    const restored = await openReplica(`${root}/b`);
    assert.strictEqual(restored.machine.size, 27);
    await restored.close();
    assert.match(
      text(await runHere(["restore", bucket, `${root}/c`, "--time", new Date(Date.now() + 60_000).toISOString()])),
      /^restored to entry 30, of 20/,
    );
    assert.strictEqual(json(await runHere(["backup", `${root}/a`, `${root}/other`, "--json"])).index, "30");
    for (
      const [args, code] of [
        [["restore", bucket, `${root}/a`], 1],
        [["restore", bucket, `${root}/d`, "--index", "99"], 1],
        [["restore", bucket, `${root}/e`, "--time", "noon"], 2],
        [["restore", `${root}/nothing`, `${root}/f`], 1],
        [["backup", `${root}/nothing`, `${root}/other`], 1],
        [["backup", `${root}/b`, bucket], 1],
        [["log", `${root}/nothing`], 1],
        [["log", `${root}/leader`], 1],
        [["log", `${root}/b`, "--follow"], 2],
        [["follow", `${root}/b`, `${root}/g`], 2],
      ] as const
    ) {
      // The leader is open in this process: that is for another one to find out.
      const outcome = await (args[1] === `${root}/leader` ? run : runHere)(args);
      assert.strictEqual(outcome.code, code, `${args}: ${outcome.stderr}`);
      assert.match(outcome.stderr, /^snapstream: [^\n]+\n$/);
    }
  }));

test("cli: a standby follows until it is told to end", () =>
  within(async ({ url, root, put, leader }) => {
    await put(3);
    const child = start(["follow", url, `${root}/standby`]);
    let told = "";
    const seen = new Promise<void>((resolve) =>
      child.stderr.on("data", (part: Uint8Array) => {
        told += new TextDecoder().decode(part);
        if (told.includes("following")) resolve();
      })
    );
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await seen;
    await put(3);
    assert.strictEqual(leader.status().lastIndex, 6n);
    process.kill(child.pid!, "SIGINT"); // not child.kill(): then Deno says that it was killed, whatever it did
    assert.strictEqual(await ended, 0, told);
  }));
