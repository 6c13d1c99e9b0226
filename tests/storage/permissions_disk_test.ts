// What a program that uses the library has to be allowed, by Deno's flags; and that anything less is refused.

import { mkdir, readFile } from "node:fs/promises";
import process from "node:process";
import { snapshotHandler } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { projectFlags } from "../support/child.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { namesIn, save } from "../support/directory_storage.ts";

const HERE = `file://${process.cwd()}`;
const CORE = `import * as core from "${HERE}/mod.ts";`;
const STORAGE = `import { DirectoryStorage } from "${HERE}/src/fs.ts";`;
const SQLITE = `import { SqliteLog, sqliteEngine } from "${HERE}/src/sqlite.ts";`;
const SERVE = `import { serve } from "${HERE}/src/serve.ts";`;

/**
 * Runs a program, or what has arguments, with what it is allowed and nothing else; gives what it said. Not by
 * `node:child_process`, with which Deno allows a Deno that it starts with no flags at all everything.
 */
async function run(allowed: readonly string[], program: string | readonly string[]): Promise<string> {
  const flags = ["run", "--quiet", "--no-prompt", "--cached-only", ...projectFlags()];
  const args = [...flags, ...allowed, ...typeof program === "string" ? ["-"] : program];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  if (typeof program === "string") await writer.write(new TextEncoder().encode(program));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  return success ? said : `failed: ${said}`;
}

/** Fails unless a program ends well with what it is allowed, and does not with any of that left away. */
async function needs(allowed: readonly string[], program: string | readonly string[]): Promise<void> {
  const said = await run(allowed, program);
  assert.notMatch(said, /^failed/);
  for (const flag of allowed) {
    assert.match(await run(allowed.filter((other) => other !== flag), program), /^failed[^]*Requires/, flag);
  }
}

const readWrite = (path: string) => [`--allow-read=${path}`, `--allow-write=${path}`];

/** A storage's whole life: saves, one that is given up, retention, reuse, quarantine, an install, a look. */
const lifeOf = (root: string, options = {}) =>
  `${STORAGE}
const storage = await DirectoryStorage.open(${JSON.stringify(root)}, ${JSON.stringify(options)});
const write = (writer, name) => ReadableStream.from([new Uint8Array(100_000)]).pipeTo(writer.file(name));
for (const index of [1n, 2n, 3n, 4n]) {
  const writer = await storage.create();
  await write(writer, "a/b");
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
}
const reader = await storage.open(4n);
const given = await storage.create();
if (!await given.reuse([reader.info("a/b")])) throw new Error("It is not reused");
await given.abort();
if (!(await reader.verify().result).ok) throw new Error("It is not good");
const { manifest } = reader;
await reader.close();
await Deno.writeFile(${JSON.stringify(`${root}/snapshot_00000000000000000004/a/b`)}, new Uint8Array(100_000).fill(1));
if (!await storage.quarantine(4n, "a test")) throw new Error("It is not quarantined");
if ((await storage.quarantined()).length !== 1) throw new Error("It is not seen");
const install = await storage.install(manifest);
await install.prepare();
await install.commit();
await storage.close();`;

/** A directory with a storage in it, beside an empty one. */
function withStorage(work: (root: string, directory: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    const storage = await DirectoryStorage.open(`${directory}/storage`);
    await save(storage, 1n);
    await storage.close();
    await work(`${directory}/storage`, directory);
  });
}

if ("Deno" in globalThis) {
  test("permissions: importing needs none", async () => {
    const { exports } = JSON.parse(await readFile("deno.json", "utf8")) as { exports: Record<string, string> };
    const all = Object.values(exports).filter((path) => !path.endsWith("/main.ts")); // which is a program
    assert.equal(await run([], all.map((path) => `import "${HERE}/${path}";`).join("\n")), "");
  });

  test("permissions: the core needs none", () =>
    needs(
      [],
      `${CORE}
      const machine = new core.KeyValueMachine(core.utf8Codec());
      const [log, storage] = [new core.MemoryLog(), new core.MemoryStorage()];
      const replica = await core.Replica.open({ machine, log, storage });
      await replica.propose(machine.put("hello", "world"));
      await replica.snapshot().result;
      const handler = core.snapshotHandler(storage);
      const other = new core.MemoryStorage();
      await core.pull(other, [{ url: "http://there", fetch: handler }]).result;
      await core.unarchive(core.archive(await storage.open()), new core.MemoryStorage()).result;
      await handler.close();
      await replica.close();`,
    ));

  test("permissions: a directory storage needs its root", () =>
    inTemp(async (directory) => {
      const root = `${directory}/storage`;
      await mkdir(root);
      await needs(readWrite(root), lifeOf(root));
      const look = `${STORAGE}
        const storage = await DirectoryStorage.open(${JSON.stringify(root)}, { readOnly: true });
        const reader = await storage.open();
        if (!(await reader.verify().result).ok) throw new Error("It is not good");
        await storage.close();`;
      await needs([`--allow-read=${root}`], look);
    }));

  test("permissions: to make its root, a directory storage needs no more than that", () =>
    inTemp(async (directory) => {
      for (const durability of ["file", "none"]) {
        const root = `${directory}/${durability}/a/b`;
        await needs(readWrite(root), lifeOf(root, { durability }));
      }
    }));

  test("permissions: to make its root's name durable, it needs to read what that is in", () =>
    inTemp(async (directory) => {
      const root = `${directory}/storage`;
      const refused = await run(readWrite(root), lifeOf(root));
      assert.match(refused, /FORBIDDEN|Requires read access/);
      assert.include(refused, directory); // says what it has to be allowed
      assert.deepEqual(await namesIn(directory), []);
      assert.equal(await run([`--allow-read=${directory}`, `--allow-write=${root}`], lifeOf(root)), "");
    }));

  test("permissions: a log, and state in SQLite, need their file", () =>
    inTemp(async (directory) => {
      const [log, state] = [`${directory}/log.db`, `${directory}/state.db`];
      await needs(
        readWrite(log),
        `${SQLITE}
        const log = await SqliteLog.open(${JSON.stringify(log)});
        await log.append([{ index: log.lastIndex + 1n, term: 1n, data: new Uint8Array(1000) }]);
        for await (const { data } of log.entries(log.firstIndex)) console.assert(data.length === 1000);
        await log.purge(1n);
        await log.reset(log.lastIndex, 2n);
        await log.close();`,
      );
      await needs(
        readWrite(`${state},${state}-lock`),
        `${CORE}${SQLITE}
        const state = await core.StoredState.open(sqliteEngine(${JSON.stringify(state)}), { keys: core.stringKeys() });
        await state.value("names", core.utf8Codec()).set("7", "Ada");
        const task = state.save();
        const writer = await new core.MemoryStorage().create();
        await task.write(writer, new AbortController().signal);
        task.release();
        await state.close();`,
      );
    }));

  test("permissions: serving and pulling need the network", async () => {
    const program = `${CORE}${SERVE}
      const storage = new core.MemoryStorage();
      const writer = await storage.create();
      await ReadableStream.from([new Uint8Array(1000)]).pipeTo(writer.file("a"));
      await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
      const handler = core.snapshotHandler(storage);
      const server = await serve(handler, { port: 0 });
      await core.pull(new core.MemoryStorage(), [server.url]).result;
      await server.close();
      await handler.close();`;
    await needs(["--allow-net=127.0.0.1"], program);
  });

  test("permissions: the command line needs the directory, and the network where there is one", () =>
    withStorage(async (root, directory) => {
      const main = `${process.cwd()}/src/cli/main.ts`;
      const read = `--allow-read=${root}`;
      for (const name of ["ls", "inspect", "verify", "archive"]) await needs([read], [main, name, root]);
      assert.match(await run([], [main, "--help"]), /^Snapshots/);

      const storage = await DirectoryStorage.open(root, { readOnly: true });
      const handler = snapshotHandler(storage);
      const server = await serve(handler, { port: 0 });
      const there = `${directory}/there`;
      await mkdir(there);
      const net = `--allow-net=${new URL(server.url).host}`;
      const pulled = await run([net, ...readWrite(there)], [main, "pull", server.url, there]);
      assert.match(pulled, /^snapshot 1: /);
      assert.match(await run([net, `--allow-read=${there}`], [main, "pull", server.url, there]), /^failed[^]*Requires/);
      await server.close();
      await handler.close();
      await storage.close();
    }));
}
