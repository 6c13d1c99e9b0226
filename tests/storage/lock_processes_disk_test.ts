// The lock between processes of all runtimes. What one process, and one that is killed, makes of it is in lock_disk_test.ts.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, symlink } from "node:fs/promises";
import { relative } from "node:path";
import process from "node:process";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { projectFlags } from "../support/child.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { namesIn, save, wholeOnes } from "../support/directory_storage.ts";

const CHILD = `${process.cwd()}/tests/storage/lock_child.ts`;
const RUNTIMES = `${process.cwd()}/.runtimes/node_modules`;
/** The other runtimes that are here: the test runner installs them. */
const OTHERS = ["node22/bin/node", "node24/bin/node", "bun/bin/bun"].map((path) => `${RUNTIMES}/${path}`)
  .filter((path) => existsSync(path));

/** What a runtime runs: the source, or what was made of it. */
function programOf(runtime: string, bundle: string): string[] {
  if (runtime === process.execPath) return ["run", "--allow-all", "--quiet", ...projectFlags(), CHILD];
  return runtime.endsWith("node") ? ["--disable-warning=ExperimentalWarning", bundle] : [bundle];
}

/** A process of {@linkcode CHILD}, that is ready. */
class Child {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  output = "";

  private constructor(runtime: string, args: readonly string[]) {
    this.process = spawn(runtime, [...args], { stdio: ["pipe", "pipe", "inherit"] });
    this.process.stdout!.on("data", (part) => this.output += new TextDecoder().decode(part));
    this.ended = once(this.process, "close");
  }

  static async start(runtime: string, bundle: string, ...args: string[]): Promise<Child> {
    const child = new Child(runtime, [...programOf(runtime, bundle), ...args]);
    await Promise.race([once(child.process.stdout!, "data"), child.ended]);
    assert.match(child.output, /^ready/, runtime);
    return child;
  }

  /** Not by its own `kill`, which on Deno closes its standard input first, and does nothing the second time. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.process.pid!, name);
  }

  /** Lets it go on. */
  go(): void {
    this.process.stdin!.end("go\n");
  }
}

/** Does something with {@linkcode CHILD} as one module, for runtimes that do not know TypeScript. */
function withBundle(work: (root: string, bundle: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    const bundle = `${directory}/child.mjs`;
    const args = ["bundle", "--quiet", ...projectFlags(), "--platform", "deno", "--output", bundle, CHILD];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.isTrue(success, new TextDecoder().decode(stderr));
    await work(`${directory}/storage`, bundle);
  });
}

/** Fails unless a process of a runtime is refused. */
async function isLockedFor(runtime: string, bundle: string, root: string): Promise<void> {
  const child = spawn(runtime, [...programOf(runtime, bundle), "hold", root], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr!.on("data", (part) => said += new TextDecoder().decode(part));
  await once(child, "close");
  assert.include(said, "is locked", runtime);
}

// Only Deno can run the library's source, and bundle it for the others.
if ("Deno" in globalThis) {
  test("lock: Deno, Node and Bun keep each other out, also one that is stopped, and one that dies leaves it", () =>
    withBundle(async (root, bundle) => {
      for (const runtime of [process.execPath, ...OTHERS]) {
        const child = await Child.start(runtime, bundle, "hold", root);
        await rejects(DirectoryStorage.open(root), "BUSY");
        child.signal("SIGSTOP");
        for (let i = 0; i < 3; i++) await rejects(DirectoryStorage.open(root), "BUSY");
        child.signal("SIGKILL");
        await child.ended;
        const storage = await DirectoryStorage.open(root);
        for (const other of [process.execPath, ...OTHERS]) await isLockedFor(other, bundle, root);
        await storage.close();
      }
    }));

  test("lock: of many processes that want it, one has it at a time", () =>
    withBundle(async (root, bundle) => {
      await (await DirectoryStorage.open(root)).close();
      const runtimes = [process.execPath, ...OTHERS, process.execPath];
      let busy = 0;
      while (busy === 0) { // on a machine that is slow enough they come one after the other, and do not race
        const children = await Promise.all(runtimes.map((runtime) => Child.start(runtime, bundle, "race", root, "25")));
        for (const child of children) child.go();
        for (const { ended, process } of children) {
          await ended;
          assert.equal(process.exitCode, 0);
        }
        busy = children.reduce((sum, { output }) => sum + Number(/busy (\d+)/.exec(output)![1]), 0);
      }
      assert.deepEqual(await namesIn(root), [".lock"]);
    }));

  test("lock: of many processes that make a root, one has it at a time", () =>
    withBundle(async (root, bundle) => {
      for (let round = 0; round < 3; round++) {
        const runtimes = [process.execPath, ...OTHERS];
        const path = `${root}/${round}/a`;
        const children = await Promise.all(runtimes.map((runtime) => Child.start(runtime, bundle, "race", path, "1")));
        for (const child of children) child.go();
        for (const { ended, process } of children) {
          await ended;
          assert.equal(process.exitCode, 0);
        }
      }
    }));

  test("lock: openings that are refused in this process, and its threads, do not give it away", () =>
    withBundle(async (root, bundle) => {
      const program = `import { DirectoryStorage } from "file://${process.cwd()}/src/fs.ts";
        postMessage(await DirectoryStorage.open(${JSON.stringify(root)}).then(() => "open", ({ code }) => code));`;
      const storage = await DirectoryStorage.open(root);
      for (let i = 0; i < 2; i++) {
        const worker = new Worker(`data:text/javascript,${encodeURIComponent(program)}`, { type: "module" });
        const { data } = await new Promise<MessageEvent>((resolve) => worker.onmessage = resolve);
        worker.terminate();
        assert.equal(data, "BUSY");
        await rejects(DirectoryStorage.open(root), "BUSY");
        await (await DirectoryStorage.open(root, { readOnly: true })).close();
        // A lock of `fcntl` is gone when the process closes any descriptor of the file: another one would get it then.
        await isLockedFor(process.execPath, bundle, root);
      }
      await storage.close();
    }));
}

test("lock: a root is the same by whatever path it is reached", () =>
  inTemp(async (directory) => {
    const [root, mounted] = [`${directory}/storage`, `${directory}/mounted`];
    await Promise.all([root, mounted].map((path) => mkdir(path)));
    await symlink(root, `${directory}/link`);
    await symlink(directory, `${directory}/parent`);
    const paths = [`${directory}/link`, `${directory}/parent/storage`, `${root}//`, relative(process.cwd(), root)];
    if (existsSync("/proc/self/root")) paths.push(`/proc/self/root${root}`);
    const isMounted = spawnSync("mount", ["--bind", root, mounted]).status === 0; // if we may
    if (isMounted) paths.push(mounted);
    try {
      const storage = await DirectoryStorage.open(root);
      await save(storage, 1n);
      for (const path of paths) await rejects(DirectoryStorage.open(path), "BUSY");
      await storage.close();
      for (const path of paths) {
        const again = await DirectoryStorage.open(path);
        await rejects(DirectoryStorage.open(root), "BUSY");
        assert.deepEqual(await wholeOnes(again), [1n]);
        await again.close();
      }
      await cp(root, `${directory}/copy`, { recursive: true });
      const copy = await DirectoryStorage.open(`${directory}/copy`); // another root, with a lock of its own
      await (await DirectoryStorage.open(root)).close();
      await copy.close();
    } finally {
      if (isMounted) spawnSync("umount", ["--lazy", mounted]);
    }
  }));
