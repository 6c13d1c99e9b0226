// Looking at and moving snapshots from any place to any other, by the program itself.

import process from "node:process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { DirectoryBucket } from "../../src/bucket/directory/mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { ObjectStorage } from "../../src/storage/object/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/mod.ts";
import { assert, pieces, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { run, runHere, saveParts, serving, start, text } from "./support.ts";

const json = (outcome: Awaited<ReturnType<typeof run>>) => {
  assert.strictEqual(outcome.code, 0, outcome.stderr);
  return JSON.parse(text(outcome));
};

test("cli: --version", async () => {
  assert.match(text(await run(["--version"])), /^snapstream \d+\.\d+\.\d+\n$/);
});

test("cli: archives and buckets are looked at like directories, and PLACE#INDEX is one of them", () =>
  inTemp(async (directory) => {
    const [root, file, bucket] = [`${directory}/a`, `${directory}/a.snap`, `${directory}/bucket`];
    await saveParts(root, 1n, [1, 2]);
    await saveParts(root, 2n, [1, 3]);
    assert.strictEqual((await runHere(["copy", `${root}#1`, file])).code, 0);
    const storage = await ObjectStorage.open(await DirectoryBucket.open(bucket));
    const writer = await storage.create();
    await pieces(new TextEncoder().encode("hello\n")).pipeTo(writer.file("info.txt"));
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    await storage.close();
    for (const [place, indices] of [[root, ["2", "1"]], [file, ["1"]], [bucket, ["1"]]] as const) {
      const listed = json(await runHere(["ls", place, "--json"]));
      assert.deepEqual(listed.snapshots.map(({ index }: { index: string }) => index), indices);
      assert.strictEqual(typeof listed.snapshots[0].size, "number");
      assert.deepEqual(json(await runHere(["verify", `${place}#1`, "--json"])).snapshots.length, 1);
      assert.lengthOf(json(await runHere(["inspect", place, "--json"])).snapshots, indices.length);
      assert.match(
        text(await (place === root ? run : runHere)(["cat", `${place}#1`, "info.txt"])),
        /^(index 1|hello)\n$/,
      );
    }
    const lines = text(await runHere(["ls", `file://${root}`])).split("\n");
    assert.match(lines[0]!, /^INDEX +TERM +SIZE +FILES +AGE +GROUP$/);
    assert.match(lines[1]!, /^ +2 +2 +512 KiB +2 +\d+ \w+ ago +-$/);
    // An archive that is cut short, or changed, is damaged, and nothing of it is left in the temporary directory.
    const bytes = await readFile(file);
    await writeFile(`${directory}/cut.snap`, bytes.subarray(0, 300_000));
    bytes[300_000]! ^= 1;
    await writeFile(`${directory}/bad.snap`, bytes);
    await mkdir(`${directory}/tmp`);
    for (const name of ["cut", "bad"]) {
      for (const command of ["ls", "verify"]) {
        const outcome = await run([command, `${directory}/${name}.snap`], { env: { TMPDIR: `${directory}/tmp` } });
        assert.strictEqual(outcome.code, 3, outcome.stderr);
        assert.match(outcome.stderr, /^snapstream: [^\n]+\n$/);
      }
    }
    assert.isEmpty(await readdir(`${directory}/tmp`));
  }));

test("cli: the directory of a replica is looked at like the storage in it", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/snapshots`, 3n, [1, 2]);
    await (await SqliteLog.open(`${directory}/log.db`)).close();
    for (const command of ["ls", "inspect", "verify"]) {
      const [whole, storage] = [
        await runHere([command, directory]),
        await runHere([command, `${directory}/snapshots`]),
      ];
      assert.strictEqual(whole.code, 0, whole.stderr);
      const [ofWhole, ofStorage] = [whole, storage].map((one) => text(one).replaceAll(/\d+ \w+ ago| +/g, ""));
      assert.strictEqual(ofWhole, ofStorage);
    }
  }));

test("cli: what is no snapshot fails in a line, whatever it is", () =>
  inTemp(async (directory) => {
    await mkdir(`${directory}/empty`);
    await mkdir(`${directory}/other/below`, { recursive: true });
    await writeFile(`${directory}/other/below/file`, "text");
    await writeFile(`${directory}/text`, "text");
    await writeFile(`${directory}/none`, "");
    for (const name of ["empty", "other", "text", "none", "nowhere"]) {
      for (const command of ["verify", "inspect"]) {
        const { code, stderr, stdout } = await runHere([command, `${directory}/${name}`]);
        assert.strictEqual(code, 1, `${command} ${name}: ${stderr}`);
        assert.match(stderr, /^[^\n]+\n$/);
        assert.lengthOf(stdout, 0);
      }
    }
    await saveParts(`${directory}/a`, 1n, [1]);
    const into = await runHere(["copy", `${directory}/a`, `${directory}/other`]);
    assert.strictEqual(into.code, 1, "a storage in the middle of something else");
    assert.sameMembers(await readdir(`${directory}/other`), ["below"]);
    assert.strictEqual((await runHere(["cat", `${directory}/a`, "nothing"])).code, 1);
    assert.strictEqual((await runHere(["cat", `${directory}/a#7`, "state"])).code, 1);
  }));

test("cli: extract writes all files, or those that are named, or nothing", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1, 2]);
    assert.deepInclude(json(await run(["extract", `${directory}/a`, `${directory}/all`, "--json"])), { files: 2 });
    assert.strictEqual(await readFile(`${directory}/all/info.txt`, "utf8"), "index 1\n");
    assert.strictEqual((await runHere(["extract", `${directory}/a`, `${directory}/all`])).code, 1, "it is there");
    await runHere(["extract", `${directory}/a`, `${directory}/one`, "info.txt"]);
    assert.deepEqual(await readdir(`${directory}/one`), ["info.txt"]);
    const state = `${directory}/a/snapshot_00000000000000000001/state`;
    const bytes = await readFile(state);
    bytes[400_000]! ^= 1;
    await writeFile(state, bytes);
    assert.strictEqual((await runHere(["extract", `${directory}/a`, `${directory}/bad`])).code, 3);
    assert.notInclude(await readdir(directory), "bad");
    assert.notInclude(await readdir(directory), "bad.part");
  }));

test("cli: diff says which files changed, and how much is shared", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1, 2, 3, 4]);
    await saveParts(`${directory}/a`, 2n, [9, 1, 2, 3]);
    const { files, chunks } = json(await run(["diff", `${directory}/a#1`, `${directory}/a#2`, "--json"]));
    assert.deepEqual(files, [
      { name: "info.txt", change: "changed", size: 8, shared: 0 },
      { name: "state", change: "changed", size: 1_048_576, shared: 786_432 },
    ]);
    assert.deepEqual(chunks, { shared: 3, all: 5, sharedBytes: 786_432, allBytes: 1_048_584 });
    const same = text(await runHere(["diff", `${directory}/a`, `${directory}/a`]));
    assert.strictEqual(
      same,
      "2 same, 0 changed, 0 added, 0 removed\n5 of 5 chunks shared: 1.00 MiB of 1.00 MiB (100 %)\n",
    );
  }));

test("cli: copy between directories, archives, buckets and servers; what is there already is no failure", () =>
  inTemp(async (directory) => {
    const [root, bucket] = [`${directory}/a`, `${directory}/bucket`];
    await saveParts(root, 1n, [1, 2]);
    await (await ObjectStorage.open(await DirectoryBucket.open(bucket))).close();
    await writeFile(`${bucket}/x`, ""); // other things in it, and no index yet: not a place for a storage
    assert.strictEqual((await runHere(["copy", root, bucket])).code, 1);
    const server = await serving([root], { SNAPSTREAM_TOKEN: "secret" });
    const env = { SNAPSTREAM_TOKEN: "secret" };
    await writeFile(`${directory}/token`, "secret\n");
    assert.strictEqual((await runHere(["ls", server.url])).code, 1, "without the token");
    assert.strictEqual(json(await run(["ls", server.url, "--json"], { env })).snapshots[0].index, "1");
    assert.strictEqual((await runHere(["verify", server.url, "--token-file", `${directory}/token`])).code, 0);
    for (const [from, to] of [[root, "b"], ["b", "c.snap"], ["c.snap", "d"], [server.url, "e"]] as const) {
      const path = from.includes("/") ? from : `${directory}/${from}`;
      const copied = await (from === root ? run : runHere)(["copy", path, `${directory}/${to}`], { env });
      assert.strictEqual(copied.code, 0, `${from} to ${to}: ${copied.stderr}`);
      assert.strictEqual((await runHere(["verify", `${directory}/${to}`])).code, 0);
      if (to.endsWith(".snap")) continue;
      const again = await runHere(["copy", path, `${directory}/${to}`, "--json"], { env });
      assert.isTrue(json(again).upToDate, to);
    }
    assert.isTrue(json(await runHere(["pull", server.url, `${directory}/e`, "--json"], { env })).upToDate);
    const refused = await run(["push", root, server.url], { env });
    assert.strictEqual(refused.code, 1);
    assert.match(refused.stderr, /^snapstream: [^\n]+\n$/);
    const barred = await runHere(["pull", server.url, `${directory}/f`]);
    assert.strictEqual(barred.code, 1);
    assert.match(barred.stderr, /^snapstream: [^\n]+\n$/, "one line a failure");
    assert.strictEqual(await server.stop(), 0);
  }));

test("cli: prune removes all but the newest, once those were verified", () =>
  inTemp(async (directory) => {
    const root = `${directory}/a`;
    for (const index of [1n, 2n, 3n]) await saveParts(root, index, [Number(index)], 3);
    assert.deepInclude(json(await run(["prune", root, "--keep", "2", "--json"])), { removed: ["1"], kept: 2 });
    assert.deepInclude(json(await runHere(["prune", root, "--keep", "2", "--json"])), { removed: [], kept: 2 });
    const state = `${root}/snapshot_00000000000000000003/state`;
    const bytes = await readFile(state);
    bytes[1000]! ^= 1;
    await writeFile(state, bytes);
    assert.strictEqual((await runHere(["prune", root, "--keep", "1"])).code, 3);
    assert.include(await readdir(root), "snapshot_00000000000000000002");
    assert.strictEqual((await runHere(["prune", `${directory}/none`, "--keep", "1"])).code, 1);
    assert.deepEqual(await readdir(directory), ["a"]);
  }));

test("cli: prune of a bucket retires what is too much", () =>
  inTemp(async (directory) => {
    const bucket = await DirectoryBucket.open(`${directory}/bucket`);
    const storage = await ObjectStorage.open(bucket, { retain: 3 });
    for (const index of [1n, 2n, 3n]) {
      const writer = await storage.create();
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
    }
    await storage.close();
    assert.deepInclude(json(await runHere(["prune", `${directory}/bucket`, "--keep", "1", "--json"])), { kept: 1 });
    assert.lengthOf(json(await runHere(["ls", `${directory}/bucket`, "--json"])).snapshots, 1);
  }));

test("cli: serve beside a running owner sees new snapshots, and keeps one that is being downloaded", () =>
  inTemp(async (directory) => {
    const root = `${directory}/a`;
    const storage = await DirectoryStorage.open(root, { retain: 1 });
    const save = async (index: bigint) => {
      const writer = await storage.create();
      await pieces(new Uint8Array(1_000_000).fill(Number(index))).pipeTo(writer.file("state"));
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 2n, peers: [] });
    };
    await save(1n);
    const server = await serving([root]);
    const manifest = await fetch(`${server.url}/snapshots/1/manifest`); // begins a download
    await manifest.body?.cancel();
    for (const index of [2n, 3n]) await save(index);
    assert.deepEqual((await readdir(root)).filter((name) => name.startsWith("snapshot_")), [
      "snapshot_00000000000000000003",
    ]);
    const state = await fetch(`${server.url}/snapshots/1/files/state`);
    assert.strictEqual(state.status, 200);
    assert.deepEqual(new Uint8Array(await state.arrayBuffer()), new Uint8Array(1_000_000).fill(1));
    const listed = await (await fetch(`${server.url}/snapshots`)).json();
    assert.deepEqual(listed.map(({ index }: { index: string }) => index), ["3", "1"]);
    const newest = await fetch(`${server.url}/snapshots/latest/files/state`);
    assert.strictEqual(new Uint8Array(await newest.arrayBuffer())[0], 3);
    const gone = await fetch(`${server.url}/snapshots/2`);
    await gone.body?.cancel();
    assert.strictEqual(gone.status, 404);
    assert.strictEqual(await server.stop(), 0);
    await storage.close();
  }));

test("cli: status and watch show what a server has; take says why it cannot", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 5n, [1]);
    const server = await serving([`${directory}/a`]);
    const status = json(await run(["status", server.url, "--json"]));
    assert.deepInclude(status, { retain: 2, transfers: [], unfinished: [], quarantined: [] });
    assert.deepInclude(status.snapshots[0], { index: "5", chunks: 2 });
    const lines = text(await runHere(["status", server.url])).split("\n");
    assert.match(lines[1]!, /^ +5 +2 +256 KiB/);
    assert.strictEqual((await run(["take", server.url])).code, 1);
    const watching = start(["watch", server.url]);
    const first = await new Promise<string>((resolve) => watching.stdout.once("data", (part) => resolve(String(part))));
    assert.strictEqual(first, "snapshot 5\n");
    process.kill(watching.pid!, "SIGINT");
    assert.strictEqual(await new Promise((resolve) => watching.on("close", resolve)), 0);
    await server.stop();
  }));

test("cli: completions name every command and option", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const script = text(await runHere(["completions", shell]));
    for (const word of ["unarchive", "token-file", "interval", "keep"]) assert.include(script, word, shell);
  }
});

test("cli: serve --page asks a browser for the token as a password, and shows the page to who has it", () =>
  inTemp(async (directory) => {
    await saveParts(`${directory}/a`, 1n, [1]);
    const server = await serving([`${directory}/a`, "--page"], { SNAPSTREAM_TOKEN: "two words" });
    const status = async (path: string, authorization?: string) => {
      const headers: HeadersInit = authorization === undefined ? {} : { Authorization: authorization };
      const response = await fetch(`${server.url}${path}`, { headers });
      await response.body?.cancel();
      return `${response.status} ${response.headers.get("WWW-Authenticate")?.slice(0, 6) ?? ""}`;
    };
    for (
      const wrong of [undefined, `Basic ${btoa("me:two")}`, "Basic !", `Basic ${btoa("two words")}x`, "Bearer two"]
    ) {
      assert.strictEqual(await status("/", wrong), "401 Basic ", wrong);
      assert.strictEqual(await status("/snapshots", wrong), "401 Basic ", wrong);
    }
    for (const right of [`Basic ${btoa("anybody:two words")}`, "Bearer two words"]) {
      for (const path of ["/", "/page/app.js", "/snapshots/status"]) {
        assert.strictEqual(await status(path, right), "200 ");
      }
    }
    await server.stop();
    const without = await serving([`${directory}/a`]);
    const response = await fetch(`${without.url}/`);
    await response.body?.cancel();
    assert.strictEqual(response.status, 404, "off unless it is asked for");
    await without.stop();
  }));
