// 1 GiB over loopback in every way that a snapshot goes from node to node, against `curl` to a file and `sync`.

import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import { promisify } from "node:util";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { firstLine, startModule } from "./child.ts";
import { randomBytes, repeated, report, seconds, warmPages } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const FOLLOWERS = 10;
const run = promisify(execFile);

/** What a node says. */
interface Said {
  readonly url: string;
  readonly seconds: number;
  readonly fetched: number;
  readonly dropped: number;
  readonly half: boolean;
}

/** A node in a process of its own. */
class Node {
  readonly root: string;
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  url = "";

  private constructor(root: string, process: ChildProcess, lines: Interface) {
    this.root = root;
    this.process = process;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  static async start(root: string, mode = "good"): Promise<Node> {
    const child = startModule("transfer_node", root, mode);
    child.stdin!.on("error", () => {}); // it may be killed
    const node = new Node(root, child, createInterface({ input: child.stdout! }));
    node.url = (await node.hear()).url;
    return node;
  }

  async hear(): Promise<Said> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`The node of ${this.root} has ended`);
    return JSON.parse(value) as Said;
  }

  tell(what: Record<string, unknown>): void {
    this.process.stdin!.write(`${JSON.stringify(what)}\n`);
  }

  /** Pulls, and says how that went. */
  async pull(...sources: Node[]): Promise<Said> {
    this.tell({ sources: sources.map(({ url }) => url) });
    for (;;) {
      const said = await this.hear();
      if (said.seconds !== undefined) return said;
    }
  }

  /** How much it has sent. */
  async sent(): Promise<number> {
    return Number(await (await fetch(`${this.url}/sent`)).text());
  }

  async stop(signal?: "SIGKILL"): Promise<void> {
    const ended = once(this.process, "exit");
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    if (signal === undefined) this.process.stdin!.end();
    else process.kill(this.process.pid!, signal);
    await ended;
  }
}

async function makeSnapshot(root: string, index: bigint, files: Record<string, () => ReadableStream<Uint8Array>>) {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  for (const [name, content] of Object.entries(files)) await content().pipeTo(writer.file(name));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

await inTemp(async (directory) => {
  const nodes: Node[] = [];
  const start = async (name: string, mode?: string) => {
    const node = await Node.start(`${directory}/${name}`, mode);
    nodes.push(node);
    return node;
  };
  const stopAll = async () => {
    for (const node of nodes.splice(0)) await node.stop();
  };
  const clean = async (...names: string[]) => {
    for (const name of names) await rm(`${directory}/${name}`, { recursive: true, force: true });
    await run("sync"); // or what was written before would be written while something else is measured
    await warmPages(`${directory}/warm`, SIZE);
  };
  const block = randomBytes(255 * MiB + 1); // no two chunks are the same
  const content = () => repeated(block, SIZE);

  // One source, against curl.
  await makeSnapshot(`${directory}/leader`, 1n, { state: content });
  const raw = startModule("pull_server", `${directory}/leader`);
  const rawUrl = await firstLine(raw);
  const curled: number[] = [];
  const pulled: number[] = [];
  for (let round = 0; round < 2; round++) {
    await warmPages(`${directory}/warm`, SIZE);
    curled.push(
      await seconds(async () => {
        await run("curl", ["--silent", "--fail", "--output", `${directory}/curled`, `${rawUrl}/raw`]);
        await run("sync", [`${directory}/curled`]);
      }),
    );
    await rm(`${directory}/curled`);
    const leader = await Node.start(`${directory}/leader`);
    const follower = await start("follower");
    await warmPages(`${directory}/warm`, SIZE);
    pulled.push((await follower.pull(leader)).seconds);
    await leader.stop();
    await stopAll();
    await clean("follower");
  }
  raw.stdin!.end();
  const [curl, alone] = [Math.min(...curled), Math.min(...pulled)]; // the best of each: see `save`
  report("transfer", "curl to a file + sync", SIZE / MiB / curl, "MiB/s");
  report("transfer", "pull from one source", SIZE / MiB / alone, "MiB/s");
  report("transfer", "pull / curl", curl / alone, "ratio", { atLeast: 0.7 });
  const rsync = await seconds(() =>
    run("rsync", ["-W", "--fsync", `${directory}/leader/`, `${directory}/rsynced`, "-a"])
  )
    .catch(() => undefined);
  if (rsync !== undefined) report("transfer", "rsync on one machine", SIZE / MiB / rsync, "MiB/s");
  await clean("rsynced");

  // Four sources, of which one is good.
  for (const name of ["slow", "dying", "lying"]) await run("cp", ["-r", `${directory}/leader`, `${directory}/${name}`]);
  await clean();
  let leader = await start("leader");
  const others = [await start("slow", "slow"), await start("dying", "dying"), await start("lying", "lying")];
  let follower = await start("follower");
  const four = await follower.pull(leader, ...others);
  report("transfer", "four sources (slow, dying, lying) / the good one", four.seconds / alone, "ratio", {
    atMost: 1.5,
  });
  report("transfer", "  of which were dropped", four.dropped, "sources");
  await stopAll();
  await clean("follower", "slow", "dying", "lying");

  // Killed at a half.
  leader = await start("leader");
  follower = await start("follower");
  follower.tell({ sources: [leader.url] });
  while (!(await follower.hear()).half);
  await follower.stop("SIGKILL");
  const before = await leader.sent();
  follower = await start("follower");
  const { fetched } = await follower.pull(leader);
  report("transfer", "killed at 50 %: bytes still to fetch / size", fetched / SIZE, "ratio");
  report("transfer", "killed at 50 %: sent in all / size", (before + fetched) / SIZE, "ratio", { atMost: 1.03 });
  await stopAll();

  // One per cent of the chunks changed, anywhere.
  await makeSnapshot(`${directory}/leader`, 2n, {
    state: () => {
      let chunk = 0;
      return content().pipeThrough(
        new TransformStream({
          transform(piece, controller) {
            const copy = piece.slice();
            for (let at = 0; at < copy.length; at += 256 * 1024) if (chunk++ % 100 === 50) copy[at]! ^= 1;
            controller.enqueue(copy);
          },
        }),
      );
    },
  });
  leader = await start("leader");
  follower = await start("follower");
  const changed = await follower.pull(leader);
  report("transfer", "1 % of chunks changed: sent / size", await leader.sent() / SIZE, "ratio", { atMost: 0.02 });
  report("transfer", "1 % of chunks changed", changed.seconds, "s");
  await stopAll();
  await clean("follower");

  // Many small files.
  const small = Object.fromEntries(
    Array.from({ length: 4000 }, (_, i) => [`d${i % 40}/f${i}`, () => repeated(randomBytes(4096), 4096)]),
  );
  await makeSnapshot(`${directory}/small`, 1n, small);
  leader = await start("small");
  follower = await start("follower");
  report("transfer", "4,000 files of 4 KiB", (await follower.pull(leader)).seconds, "s", { atMost: 1.5 });
  await stopAll();
  await clean("follower", "small");

  // Ten followers at once, alone and as a swarm.
  for (const swarm of [false, true]) {
    leader = await start("leader");
    const followers: Node[] = [];
    for (let i = 0; i < FOLLOWERS; i++) followers.push(await start(`follower${i}`));
    await Promise.all(
      followers.map((follower) =>
        follower.pull(leader, ...(swarm ? followers.filter((other) => other !== follower) : []))
      ),
    ).then((said) => {
      report("transfer", `ten followers${swarm ? ", swarming" : ""}`, Math.max(...said.map((it) => it.seconds)), "s");
    });
    const sent = await leader.sent() / SIZE;
    const goal = swarm ? { atMost: 2 } : undefined;
    report("transfer", `ten followers${swarm ? ", swarming" : ""}: sent by the leader / size`, sent, "ratio", goal);
    await stopAll();
    await clean(...followers.map((_, i) => `follower${i}`));
  }

  // Push.
  leader = await start("leader");
  follower = await start("follower");
  leader.tell({ target: follower.url });
  report("transfer", "push", SIZE / MiB / (await leader.hear()).seconds, "MiB/s");
  await stopAll();
});
