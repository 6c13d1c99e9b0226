// The example: three runtimes, one stream, a process and the server killed in the middle.

import { type ChildProcess, spawn } from "node:child_process";
import { BUILD, bundle, ROOT } from "../suites/program.ts";
import { linkNativePackages, runtime } from "../suites/runtimes.ts";
import { assert, test } from "../support/harness.ts";
import { freePort, withNats } from "../support/nats.ts";

const PROGRAM = "tests/examples/leaderboard.ts";

/** The program for a runtime without TypeScript and import maps. */
async function bundled(): Promise<string> {
  await linkNativePackages(BUILD);
  return await bundle("leaderboard", "deno", [`import "${ROOT}${PROGRAM}";`]);
}

/** A process of the example. */
class Node {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #lines: string[] = [];
  #text = "";
  #ended = false;
  #wake: () => void = () => {};

  constructor(command: readonly [program: string, ...args: string[]]) {
    const [program, ...args] = command;
    this.#child = spawn(program, args, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout!.on("data", (text) => {
      const lines = `${this.#text}${text}`.split("\n");
      this.#text = lines.pop()!;
      this.#lines.push(...lines);
      this.#wake();
    });
    this.#exited = new Promise((resolve) =>
      this.#child.once("exit", () => {
        this.#ended = true;
        this.#wake();
        resolve(undefined);
      })
    );
  }

  say(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  /** The numbers, or words, of the next line that begins so; what comes before is passed over. */
  async hears(word: string): Promise<string[]> {
    for (;;) {
      const at = this.#lines.findIndex((line) => `${line} `.startsWith(`${word} `));
      if (at >= 0) return this.#lines.splice(0, at + 1).at(-1)!.slice(word.length).trim().split(" ");
      if (this.#ended) throw new Error(`It ended, without ${word}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  async end(): Promise<void> {
    this.say("end");
    this.#child.stdin!.end();
    await this.#exited;
  }
}

test("example: a leaderboard on Deno, Node and Bun at once, one killed and replaced, and the server too", () =>
  withNats(async (server, directory) => {
    const program = await bundled();
    const commands: Record<string, [string, ...string[]]> = {
      deno: [Deno.execPath(), "run", "--allow-all", "--quiet", "--lock=.deno.lock", PROGRAM],
      node: [await runtime("node24"), "--disable-warning=ExperimentalWarning", program],
      bun: [await runtime("bun"), program],
    };
    const names = Object.keys(commands);
    const ports = await Promise.all(names.map(() => freePort()));
    const start = (name: string, root = name): Node => {
      const peers = ports.filter((_, i) => names[i] !== name).map((port) => `http://127.0.0.1:${port}`);
      const port = String(ports[names.indexOf(name)]);
      return new Node([...commands[name]!, server.url, name, `${directory}/${root}`, port, ...peers]);
    };
    const nodes = new Map(names.map((name) => [name, start(name)]));
    try {
      const all = <T>(work: (node: Node, name: string) => Promise<T>): Promise<T[]> =>
        Promise.all(names.map((name) => work(nodes.get(name)!, name)));
      await all((node) => node.hears("ready"));

      // A first part, which is in snapshots and purged from the log when all have taken theirs.
      await all(async (node) => {
        node.say("play 1000");
        await node.hears("played all");
      });
      for (const node of nodes.values()) {
        node.say("snapshot");
        await node.hears("snapshot");
      }

      // One is killed in the middle, and another comes in its place with an empty disk.
      for (const node of nodes.values()) node.say("play 3000");
      await nodes.get("bun")!.hears("played 500");
      await nodes.get("bun")!.kill();
      nodes.set("bun", start("bun", "bun-replaced"));
      const [applied, snapshot] = await nodes.get("bun")!.hears("ready");
      assert.isAbove(Number(snapshot), 2000, "it began with a snapshot of a peer");
      assert.isAtLeast(Number(applied), Number(snapshot));
      nodes.get("bun")!.say("play 3000");

      // The server is killed in the middle of that.
      await nodes.get("bun")!.hears("played 300");
      await server.kill();
      await server.start();
      await all((node) => node.hears("played all"));

      const digests = await all(async (node) => {
        node.say(`digest ${names.join(" ")}`);
        return await node.hears("digest");
      });
      assert.deepEqual(digests[1], digests[0]);
      assert.deepEqual(digests[2], digests[0]);
      const points = digests[0]!.slice(1).map(Number);
      assert.deepEqual(points.slice(0, 2), [4000, 4000], "each command once");
      assert.isAtLeast(points[2]!, 1000 + 500 + 3000, "what was acknowledged to the one that was killed");
      assert.isAtMost(points[2]!, 1000 + 3000 + 3000);
      await all((node) => node.end());
    } finally {
      for (const node of nodes.values()) await node.kill();
    }
  }));
