// The command line as its users meet it: a process with arguments, standard input and output, and an exit code. Other
// uses of a command that was run so are run in the test's own process.

import { cp, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import process from "node:process";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, noise, pieces, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { run, runHere, start, text } from "./support.ts";

/** Everything in a directory, with sizes and times of change. */
async function listing(directory: string): Promise<string> {
  const names = await readdir(directory, { recursive: true });
  const lines = await Promise.all(
    names.sort().map(async (name) => {
      const { size, mtimeMs } = await stat(`${directory}/${name}`);
      return `${name} ${size} ${mtimeMs}`;
    }),
  );
  return lines.join("\n");
}

async function save(root: string, index: bigint, size: number): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  await pieces(noise(size, Number(index))).pipeTo(writer.file("a/state"));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 2n, peers: ["127.0.0.1:1:0:0"], oldPeers: [] });
  await storage.close();
}

test("cli: what a terminal would obey is escaped, in names and in errors", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const storage = await DirectoryStorage.open(root);
    const writer = await storage.create();
    const name = "a\x1b[2J\x9b\u202e\r\nb";
    await pieces(noise(10, 1)).pipeTo(writer.file(name));
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: ["p\x1b]0;x\x07"] });
    await storage.close();
    // deno-lint-ignore no-control-regex
    const obeyed = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/;
    for (const args of [["inspect", root], ["inspect", root, "--json"], ["verify", root], ["ls", `${root}\x1b[2J`]]) {
      const outcome = await runHere(args);
      assert.notMatch(text(outcome) + outcome.stderr, obeyed, args.join());
    }
    const lines = text(await runHere(["inspect", root])).split("\n");
    assert.include(lines.find((line) => line.includes("\\u001b[2J"))!, "\\nb");
    const [{ files }] = JSON.parse(text(await runHere(["inspect", root, "--json"]))).snapshots;
    assert.strictEqual(files[0].name, name);
  }));

test("cli: what is quarantined is named by ls, and restored if it is good", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    for (const index of [1n, 2n]) await save(root, index, 1000);
    const path = `${root}/snapshot_00000000000000000002/a/state`;
    const good = await readFile(path);
    await writeFile(path, good.map((byte) => byte ^ 1));
    const storage = await DirectoryStorage.open(root);
    assert.isTrue(await storage.quarantine(2n, "a test"));
    await storage.close();
    const listed = await runHere(["ls", root]);
    assert.match(listed.stderr, /^snapshot 2 is quarantined since 20/);
    assert.equal(JSON.parse(text(await runHere(["ls", root, "--json"]))).quarantined[0].index, "2");
    assert.equal((await runHere(["restore", root, "2"])).code, 3); // it is bad still
    const [name] = (await readdir(root)).filter((name) => name.startsWith("corrupt-2-"));
    await writeFile(`${root}/${name}/a/state`, good);
    const restored = await run(["restore", root, "2"]);
    assert.deepEqual([restored.code, text(restored)], [0, "snapshot 2: 1000 bytes\n"]);
    assert.equal((await runHere(["verify", root])).code, 0);
    assert.match(text(await runHere(["ls", root])), /^INDEX .*\n *2 /);
    assert.equal((await runHere(["restore", root, "2"])).code, 1);
    assert.equal((await runHere(["restore", root])).code, 2);
  }));

const ALL = ["ls", "inspect", "verify", "cat", "extract", "diff", "copy", "pull", "push", "archive", "unarchive"]
  .concat(["convert", "restore", "prune", "serve", "take", "status", "watch", "completions"]);

test("cli: help", async () => {
  for (const name of ["", ...ALL]) {
    const help = name === "" ? await run(["--help"]) : await runHere([name, "--help"]);
    assert.equal(help.code, 0);
    assert.include(text(help), `snapstream ${name}`);
  }
});

const WRONG = [
  [],
  ["nothing"],
  ["ls"],
  ["ls", ".", "--wrong"],
  ["inspect", ".", "x"],
  ["serve", "."],
  ["pull", "x", "."],
  ["push", ".", "."],
  ["prune", "."],
  ["prune", ".", "--keep", "0"],
  ["take", "."],
  ["copy", ".", "r2://bucket"],
  ["ls", "s3:///none"],
  ["status", "http://127.0.0.1:9", "--token", "two\nlines"],
  ["status", "http://127.0.0.1:9", "--token-file", "/nowhere"],
  ["inspect", ".#5", "6"],
  ["completions", "csh"],
];

test("cli: wrong use", async () => {
  for (const [i, args] of WRONG.entries()) {
    const { code, stdout, stderr } = await (i === 0 ? run : runHere)(args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(stdout.length, 0);
    assert.notEqual(stderr, "");
  }
});

test("cli: looking changes nothing, and says what is there", async () => {
  await inTemp(async (directory) => {
    const root = `${directory}/braft`;
    await cp(`${process.cwd()}/tests/fixtures/braft/joint/storage`, root, { recursive: true });
    const before = await listing(directory);
    const inspected = JSON.parse(text(await run(["inspect", root, "--json"])));
    assert.equal(inspected.format, "braft");
    const { digest, ...snapshot } = inspected.snapshots[0];
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.deepEqual(snapshot, {
      index: "2048",
      term: "7",
      group: null,
      peers: ["10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0", "10.0.0.4:8200:0:0"],
      oldPeers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0", "10.0.0.3:8200:0:0"],
      verified: "none",
      files: [{ name: "state", size: 16, checksum: null }],
    });
    for (const command of ["ls", "inspect", "verify"]) assert.equal((await runHere([command, root])).code, 0);
    assert.equal((await runHere(["archive", root])).code, 0);
    assert.equal(await listing(directory), before);
    assert.equal((await runHere(["ls", `${directory}/none`])).code, 1);
    assert.equal((await runHere(["verify", root, "5"])).code, 1);
  });
});

test("cli: newest first; damage is exit code 3, and stays where it is", async () => {
  await inTemp(async (directory) => {
    const root = `${directory}/storage`;
    await save(root, 5n, 300_000);
    await save(root, 6n, 300_000);
    const inspected = JSON.parse(text(await runHere(["inspect", root, "--json"])));
    assert.equal(inspected.format, "snapstream");
    assert.deepEqual(inspected.snapshots.map(({ index }: { index: string }) => index), ["6", "5"]);
    assert.match(inspected.snapshots[0].files[0].checksum, /^chunks-sha256:[0-9a-f]{64}$/);
    assert.equal((await runHere(["verify", root])).code, 0);
    const file = `${root}/snapshot_00000000000000000006/a/state`;
    const bytes = await readFile(file);
    bytes[290_000]! ^= 1;
    await writeFile(file, bytes);
    const before = await listing(root);
    const verified = await run(["verify", root, "--json"]);
    assert.equal(verified.code, 3);
    const [newest, older] = JSON.parse(text(verified)).snapshots;
    assert.deepEqual([newest.ok, older.ok, newest.bad[0].file, newest.bad[0].chunk], [false, true, "a/state", 1]);
    assert.equal((await runHere(["verify", root, "5"])).code, 0);
    await writeFile(`${root}/snapshot_00000000000000000006/__raft_snapshot_meta`, "rubbish");
    assert.equal((await runHere(["ls", root])).code, 3);
    assert.notEqual(await listing(root), before); // by this test alone
    assert.include(await listing(root), "snapshot_00000000000000000006/a/state");
  });
});

test("cli: groups are told, also where there are several", async () => {
  await inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const storage = await DirectoryStorage.open(root, { group: "users\t\u001b[31m" });
    const writer = await storage.create();
    await writer.commit({ lastIncludedIndex: 5n, lastIncludedTerm: 2n, peers: [] });
    await storage.close();
    await save(root, 6n, 10);
    const { snapshots } = JSON.parse(text(await runHere(["ls", root, "--json"])));
    assert.deepEqual(snapshots.map(({ group }: { group: string }) => group), Array(2).fill("users\t\u001b[31m"));
    for (const command of ["ls", "inspect"]) {
      const said = text(await runHere([command, root]));
      assert.include(said, JSON.stringify("users\t\u001b[31m"));
      assert.notInclude(said, "\u001b");
    }
    assert.strictEqual(
      JSON.parse(text(await runHere(["inspect", root, "5", "--json"]))).snapshots[0].group,
      "users\t\u001b[31m",
    );
  });
});

test("cli: archive, unarchive, and what is cut short", async () => {
  await inTemp(async (directory) => {
    await save(`${directory}/a`, 7n, 1_000_000);
    const archive = await run(["archive", `${directory}/a`]);
    assert.equal(archive.code, 0);
    assert.isAbove(archive.stdout.length, 1_000_000);
    const cut = await run(["unarchive", `${directory}/b`], { input: archive.stdout.slice(0, 900_000) });
    assert.equal(cut.code, 3);
    assert.equal((await run(["unarchive", `${directory}/b`, "--json"], { input: archive.stdout })).code, 0);
    assert.equal((await runHere(["verify", `${directory}/b`])).code, 0);
    assert.equal((await run(["unarchive", `${directory}/b`], { input: archive.stdout })).code, 1); // stale
    assert.deepEqual((await readdir(`${directory}/b`)).sort(), [".lock", "snapshot_00000000000000000007"]);
  });
});

test("cli: serve, pull, and Ctrl-C", async () => {
  await inTemp(async (directory) => {
    await save(`${directory}/a`, 8n, 2_000_000);
    const before = await listing(`${directory}/a`);
    const server = start(["serve", `${directory}/a`, "--port", "0", "--json", "--token", "secret"]);
    const line = await new Promise<string>((resolve) => server.stdout.once("data", (part) => resolve(String(part))));
    const { url } = JSON.parse(line) as { url: string };
    assert.equal((await runHere(["pull", url, `${directory}/b`])).code, 1); // no token
    for (const given of [undefined, "", "Bearer ", "Bearer secrex", "Bearer secret more", "Bearer sécret", "secret"]) {
      const headers: HeadersInit = given === undefined ? {} : { Authorization: given };
      const refused = await fetch(`${url}/snapshots`, { headers });
      assert.equal(refused.status, 403, given); // as long as the right one, or not: that is no error of the server's
      await refused.body?.cancel();
    }
    const pulled = await run(["pull", url, `${directory}/b`, "--token", "secret", "--json"]);
    const result = { index: "8", size: 2_000_000, fetched: 2_000_000, reused: 0, upToDate: false };
    assert.deepEqual(JSON.parse(text(pulled)), result);
    const again = await runHere(["pull", url, `${directory}/b`, "--token", "secret"]);
    assert.deepEqual([again.code, text(again)], [0, "snapshot 8: up to date\n"]);
    assert.equal((await runHere(["verify", `${directory}/b`])).code, 0);
    const put = await fetch(`${url}/snapshots/9`, {
      method: "PUT",
      body: "x",
      headers: { Authorization: "Bearer secret" },
    });
    assert.equal(put.status, 403);
    await put.body?.cancel();
    process.kill(server.pid!, "SIGINT"); // not server.kill(): then Deno says that it was killed, whatever it did
    const code = await new Promise((resolve) => server.on("close", resolve));
    assert.equal(code, 0);
    assert.equal(await listing(`${directory}/a`), before);
  });
});

for (
  const [path, format, index] of [
    ["hashicorp/multi", "hashicorp", "400"],
    ["consul/small.snap", "consul", "9"],
    ["etcd/snap.db", "etcd", "40"],
    ["ratis/small", "ratis", "304"],
  ] as const
) {
  test(`cli: snapshots of other systems are listed, shown, verified and archived: ${format}`, () =>
    inTemp(async (directory) => {
      const whole = `tests/fixtures/${path}`;
      const verified = await runHere(["verify", whole, "--json"]);
      assert.strictEqual(verified.code, 0, verified.stderr);
      assert.deepInclude(JSON.parse(text(verified)), { format });
      assert.deepInclude(JSON.parse(text(await runHere(["inspect", whole, "--json"]))).snapshots[0], { index });
      assert.match(text(await runHere(["ls", whole])), new RegExp(`^ *INDEX .*\n *${index} `));
      const archived = await runHere(["archive", whole]);
      const taken = await run(["unarchive", `${directory}/${format}`], { input: archived.stdout });
      assert.match(text(taken), new RegExp(`^snapshot ${index}: `), taken.stderr);
    }));
}

test("cli: verify of what is damaged ends with 3, of what is no snapshot with 1", () =>
  inTemp(async (directory) => {
    const bytes = new Uint8Array(await readFile("tests/fixtures/consul/small.snap"));
    bytes[700]! ^= 1;
    await writeFile(`${directory}/damaged.snap`, bytes);
    assert.strictEqual((await runHere(["verify", `${directory}/damaged.snap`])).code, 3);
    await writeFile(`${directory}/none`, noise(1000, 1));
    await mkdir(`${directory}/empty`);
    for (const name of ["none", "nowhere", "empty"]) {
      const { code, stderr } = await runHere(["verify", `${directory}/${name}`]);
      assert.strictEqual(code, 1, stderr);
    }
  }));

test("cli: convert writes for another system, all or nothing", () =>
  inTemp(async (directory) => {
    await save(`${directory}/ours`, 7n, 1000);
    for (const format of ["hashicorp", "ratis"]) {
      const to = `${directory}/${format}`;
      const converted = await run(["convert", `${directory}/ours`, to, "--format", format]);
      assert.strictEqual(converted.code, 0, converted.stderr);
      assert.strictEqual((await runHere(["verify", to])).code, 0);
      assert.strictEqual(
        (await runHere(["convert", `${directory}/ours`, to, "--format", format])).code,
        1,
        "it is there",
      );
    }
    assert.strictEqual((await runHere(["convert", `${directory}/ours`, `${directory}/x`, "--format", "y"])).code, 2);
    assert.sameMembers(await readdir(directory), ["ours", "hashicorp", "ratis"]);
  }));
