// One owner of a directory at a time, and a lock that outlives none.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import process from "node:process";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { projectFlags } from "../support/child.ts";
import { assert, gate, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { contentOf, listing, namesIn, save, wholeOnes } from "../support/directory_storage.ts";

/** Starts a program in another process, of the same runtime, and waits until it has printed something. */
async function start(directory: string, program: string): Promise<ChildProcess> {
  await writeFile(`${directory}/child.mjs`, program);
  const run = "Deno" in globalThis ? ["run", "--allow-all", ...projectFlags()] : [];
  const child = spawn(process.execPath, [...run, `${directory}/child.mjs`], { stdio: ["ignore", "pipe", "inherit"] });
  const [first] = await Promise.race([once(child.stdout!, "data"), once(child, "exit")]);
  assert.equal(String(first).trim(), "ready");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

test("a second opening in the process is refused, and costs nothing", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const first = await DirectoryStorage.open(root);
    await save(first, 1n);
    const writer = await first.create();
    await pieces(contentOf(2n)["a/b"]!).pipeTo(writer.file("a/b"));
    const before = await listing(root);
    for (let i = 0; i < 3; i++) await rejects(DirectoryStorage.open(root), "BUSY");
    await rejects(DirectoryStorage.open(`${root}/../storage/`), "BUSY");
    assert.deepEqual(await listing(root), before);
    const looking = await DirectoryStorage.open(root, { readOnly: true });
    assert.deepEqual(await wholeOnes(looking), [1n]);
    await looking.close();
    await rejects(DirectoryStorage.open(root), "BUSY"); // that did not give the lock away
    await writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
    await first.close();
    await (await DirectoryStorage.open(root)).close();
  }));

test("a process that is killed gives the lock back", () =>
  inTemp(async (directory) => {
    const root = `${directory}/storage`;
    await (await DirectoryStorage.open(root)).close();
    const child = await start(
      directory,
      `import { DatabaseSync } from "node:sqlite";
      const database = new DatabaseSync(${JSON.stringify(`${root}/.lock`)});
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      console.log("ready");
      setInterval(() => database.isOpen, 1000);`,
    );
    await rejects(DirectoryStorage.open(root), "BUSY");
    await kill(child);
    await (await DirectoryStorage.open(root)).close();
  }));

// Only Deno can run the library's source without building it.
if ("Deno" in globalThis) {
  test("a process that is killed while it saves", () =>
    inTemp(async (directory) => {
      const root = `${directory}/storage`;
      const source = new URL(`file://${process.cwd()}/`).href;
      const child = await start(
        directory,
        `import { DirectoryStorage } from "${source}src/storage/directory/storage.ts";
        import { contentOf, save } from "${source}tests/support/directory_storage.ts";
        const storage = await DirectoryStorage.open(${JSON.stringify(root)});
        await save(storage, 1n);
        const writer = await storage.create();
        await writer.file("state").getWriter().write(contentOf(2n).state);
        console.log("ready");
        setInterval(() => storage.list(), 1000);`,
      );
      await rejects(DirectoryStorage.open(root), "BUSY");
      assert.include(await namesIn(root), "temp");
      await kill(child);
      const storage = await DirectoryStorage.open(root);
      assert.deepEqual(await wholeOnes(storage), [1n]);
      await storage.close();
      assert.deepEqual(await namesIn(root), [".lock", "snapshot_00000000000000000001"]);
    }));
}

test("closing gives the lock back, whatever fails", () =>
  inTemp(async (root) => {
    let failing = false;
    const disk = new FaultyDisk((what) => failing && /^(rename|close)/.test(what));
    const storage = await DirectoryStorage.open(root, { disk });
    await save(storage, 1n);
    const writer = await storage.create();
    await pieces(contentOf(2n)["a/b"]!).pipeTo(writer.file("a/b"));
    const reader = await storage.open();
    const reading = reader.file("state").getReader();
    await reading.read();
    failing = true;
    await rejects(storage.close(), "UNAVAILABLE");
    const again = await DirectoryStorage.open(root);
    assert.deepEqual(await wholeOnes(again), [1n]);
    await again.close();
  }));

test("what is being done when the storage is closed has ended when the lock is given back", () =>
  inTemp(async (root) => {
    const stopped = gate();
    const goOn = gate();
    let at = "";
    const disk = new FaultyDisk(() => false);
    const makeDirectory = disk.makeDirectory.bind(disk);
    disk.makeDirectory = async (path) => {
      if (path.endsWith(at) && at !== "") {
        stopped.open();
        await goOn.promise;
      }
      await makeDirectory(path);
    };
    const storage = await DirectoryStorage.open(root, { disk });
    await save(storage, 1n);
    at = "temp";
    const creating = storage.create();
    await stopped.promise;
    let closed = false;
    const closing = storage.close().then(() => closed = true);
    await rejects(DirectoryStorage.open(root), "BUSY");
    assert.isFalse(closed);
    goOn.open();
    await rejects(creating, "CLOSED");
    await closing;
    const again = await DirectoryStorage.open(root);
    await save(again, 2n);
    assert.deepEqual(await wholeOnes(again), [2n, 1n]);
    await again.close();
  }));

test("a commit that is running when the storage is closed has ended when the lock is given back", () =>
  inTemp(async (root) => {
    const storage = await DirectoryStorage.open(root);
    const writer = await storage.create();
    await pieces(contentOf(1n)["a/b"]!).pipeTo(writer.file("a/b"));
    const committing = writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }).then(
      () => "committed",
      (error) => error.code,
    );
    await storage.close();
    assert.deepEqual(
      await namesIn(root),
      await committing === "committed" ? [".lock", "snapshot_00000000000000000001"] : [".lock"],
    );
  }));

test("a lock with something else in it is damage, of which is said what to do", () =>
  inTemp(async (root) => {
    await writeFile(`${root}/.lock`, "x".repeat(200));
    const error = await rejects(DirectoryStorage.open(root), "CORRUPT");
    assert.match(error.message, /\.lock.*remove it/);
    assert.strictEqual(error.file, `${root}/.lock`);
  }));
