// What others do with as many bytes on this machine, in the same rounds: hashicorp/raft, Redis, curl, rsync, casync,
// restic; each where it is installed, and hashicorp/raft where there is Go.
//
// peers [MIB = 1024] [ROUNDS = 3]

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, open, rm } from "node:fs/promises";
import { createServer } from "node:net";
import process from "node:process";
import { promisify } from "node:util";
import { MemoryLog, pull, push, Replica, type StateMachine } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { firstLine, startModule } from "./child.ts";
import { randomBytes, repeated, report, Rounds, warmPages } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = Number(process.argv[2] ?? 1024) * MiB;
const ROUNDS = Number(process.argv[3] ?? 3);
const BLOCK = 16 * MiB;
/** The project's root: of a bundle too, which lies one folder below it. */
const ROOT = new URL(import.meta.url.endsWith(".mjs") ? ".." : "../..", import.meta.url).pathname;
const run = promisify(execFile);

type Works = Record<string, () => Promise<number | void>>;

/** Reports whether a program is there, and runs. */
async function isInstalled(program: string, version = "--version"): Promise<boolean> {
  return await run(program, [version]).then(() => true, () => false);
}

/** hashicorp/raft, which is built once: how long it says that it took. */
async function hashicorp(block: string, directory: string): Promise<Works> {
  if (!await isInstalled("go", "version")) return {};
  const target = `${ROOT}/.runtimes/peers`;
  await mkdir(target, { recursive: true });
  const cwd = `${ROOT}/tests/bench/peers`;
  await run("go", ["build", "-mod=readonly", "-o", `${target}/peers`, "."], { cwd });
  const ask = async (what: string) => {
    const { stdout } = await run(`${target}/peers`, [what, block, `${directory}/out`, String(SIZE)]);
    return (JSON.parse(stdout) as { seconds: number }).seconds;
  };
  return { "HashiCorp FileSnapshotStore": () => ask("store"), "HashiCorp InstallSnapshot": () => ask("install") };
}

/** A Redis with as many bytes in its values, which saves them in the background. */
class Redis {
  readonly #process: ChildProcess;
  readonly #port: string;

  private constructor(process: ChildProcess, port: string) {
    this.#process = process;
    this.#port = port;
  }

  static async start(directory: string): Promise<Redis> {
    const probe = createServer();
    await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
    const port = String((probe.address() as { port: number }).port);
    await new Promise<void>((resolve) => probe.close(() => resolve()));
    const options = ["--port", port, "--dir", directory, "--save", "", "--rdbcompression", "no"];
    const server = spawn("redis-server", [...options, "--enable-debug-command", "yes"], { stdio: "ignore" });
    const redis = new Redis(server, port);
    while (await redis.#ask("PING").catch(() => "") !== "PONG");
    await redis.#ask("DEBUG", "POPULATE", String(SIZE / MiB * 16), "key", String(MiB / 16));
    return redis;
  }

  async save(): Promise<void> {
    await this.#ask("BGSAVE");
    while (!(await this.#ask("INFO", "persistence")).includes("rdb_bgsave_in_progress:0"));
  }

  stop(): void {
    this.#process.kill("SIGKILL");
  }

  async #ask(...command: string[]): Promise<string> {
    return (await run("redis-cli", ["-p", this.#port, ...command])).stdout.trim();
  }
}

/** Tools that copy a directory, or keep it. */
async function tools(directory: string, source: string): Promise<Works> {
  const out = `${directory}/out`;
  const sync = () => run("sync", ["-f", directory]);
  const all: Works = {};
  if (await isInstalled("rsync")) {
    all["rsync, on one machine"] = async () => void await run("rsync", ["-a", "-W", "--fsync", `${source}/`, out]);
  }
  if (await isInstalled("casync")) {
    all["casync make"] = async () => {
      await mkdir(out);
      await run("casync", ["make", `--store=${out}/store`, `${out}/all.caidx`, source]);
      await sync();
    };
  }
  if (await isInstalled("restic", "version")) {
    const env = { ...process.env, RESTIC_PASSWORD: "bench", RESTIC_CACHE_DIR: `${directory}/cache` };
    all["restic backup"] = async () => {
      await run("restic", ["-q", "-r", out, "init"], { env });
      await run("restic", ["-q", "-r", out, "backup", source], { env });
      await sync();
    };
  }
  return all;
}

async function save(root: string, block: Uint8Array): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  await repeated(block, SIZE).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

/** Installs into a replica whose machine takes all bytes, and keeps none. */
async function installed(url: string, out: string): Promise<void> {
  const machine: StateMachine = {
    apply() {},
    save: () => undefined,
    async load(reader) {
      for await (const _ of reader.file("state"));
    },
  };
  const storage = await DirectoryStorage.open(out);
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
  await replica.install([url]);
  await replica.close();
}

/** Pushes to a node that was just started; how long that took. */
async function pushOnce(source: string, out: string): Promise<number> {
  const storage = await DirectoryStorage.open(source, { readOnly: true });
  const node = startModule("transfer_node", out);
  const { url } = JSON.parse(await firstLine(node)) as { url: string };
  const reader = await storage.open();
  const start = performance.now();
  await push(reader, url).result;
  const took = (performance.now() - start) / 1000;
  await reader.close();
  await storage.close();
  node.stdin!.end();
  return took;
}

await inTemp(async (directory) => {
  const out = `${directory}/out`;
  const source = `${directory}/source`;
  const block = randomBytes(BLOCK - 1); // so that no two chunks are the same
  await save(source, block);
  const state = `${directory}/state`;
  await copyFile(`${source}/snapshot_00000000000000000001/state`, state);
  const inBlock = `${directory}/block`;
  const file = await open(inBlock, "w");
  await file.writeFile(block);
  await file.close();

  const server = startModule("pull_server", source);
  const url = await firstLine(server);
  const redis = await isInstalled("redis-server") ? await Redis.start(directory) : undefined;
  const works: Works = {
    "save": () => save(out, block),
    "pull": async () => {
      const storage = await DirectoryStorage.open(out);
      await pull(storage, [url]).result;
      await storage.close();
    },
    "Replica.install": () => installed(url, out),
    "push": () => pushOnce(source, out),
    ...await isInstalled("curl") && {
      "curl from the same server + sync": async () => {
        await run("curl", ["--silent", "--fail", "--output", out, `${url}/raw`]);
        await run("sync", [out]);
      },
    },
    ...await hashicorp(inBlock, directory),
    ...redis && { "Redis BGSAVE": () => redis.save() },
    ...await tools(directory, source),
  };
  const rounds = new Rounds(async () => {
    for (const left of ["out", "cache", "dump.rdb"]) {
      if (existsSync(`${directory}/${left}`)) await rm(`${directory}/${left}`, { recursive: true });
    }
    await run("sync", ["-f", directory]); // or what was written would be written while the next is measured
    await warmPages(`${directory}/warm`, SIZE);
  });
  try {
    await rounds.run(ROUNDS, works);
  } finally {
    server.stdin!.end();
    redis?.stop();
  }
  for (const name of Object.keys(works)) report("peers", name, SIZE / MiB / rounds.median(name), "MiB/s");
  const compare = (ours: string, theirs: string, atLeast: number) => {
    if (!(theirs in works)) return;
    report("peers", `${ours} / ${theirs}`, rounds.ratio(theirs, ours), "x", { atLeast });
  };
  compare("save", "HashiCorp FileSnapshotStore", 1.1);
  compare("save", "Redis BGSAVE", 1);
  compare("pull", "HashiCorp InstallSnapshot", 1.6);
  compare("pull", "curl from the same server + sync", 1);
  compare("Replica.install", "pull", 0.9);
  compare("push", "pull", 0.8);
  for (const theirs of ["rsync, on one machine", "casync make", "restic backup"]) compare("save", theirs, 1);
  rounds.reportNoise("peers");
  report("peers", "load of the machine, of its last minute", await load(), "");
});

/** What else runs here, or has: of a bench alone some 1 to 2. */
async function load(): Promise<number> {
  return Number((await run("cat", ["/proc/loadavg"]).catch(() => ({ stdout: "NaN" }))).stdout.split(" ")[0]);
}
