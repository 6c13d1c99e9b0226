// A worker with its Durable Objects and its R2 bucket, as miniflare runs them: workerd, and directories that stay.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import process from "node:process";

const ROOT = `${process.cwd()}/`;

/** What is used of miniflare, which is installed beside the project and not imported by it. */
interface Miniflare {
  readonly ready: Promise<URL>;
  getInspectorURL(): Promise<URL>;
  dispose(): Promise<void>;
  unsafeEvictDurableObject(
    script: string,
    className: string,
    options: { readonly name: string; readonly webSockets: "hibernate" },
  ): Promise<void>;
}

interface MiniflareModule {
  readonly Miniflare: new (options: Record<string, unknown>) => Miniflare;
}

/** A worker that is running. */
export interface Worker {
  /** Where it is. */
  readonly url: string;
  /** Where its inspector is, if it was asked for. */
  readonly inspector: string;
  /** The process of workerd. */
  readonly pid: number;
  /** Ends workerd as a power cut ends a machine, and starts another with what is on the disk. */
  crash(): Promise<void>;
  /** Takes an object out of memory, as the platform does with one that has nothing to do; its sockets stay. */
  evict(className: string, name: string): Promise<void>;
  /** Ends it. */
  stop(): Promise<void>;
}

/** How a worker is started. */
export interface WorkerOptions {
  /** Whether there is an inspector. */
  readonly inspect?: boolean;
}

/** Starts the worker, with what is in a directory. */
export async function startWorker(directory: string, { inspect = false }: WorkerOptions = {}): Promise<Worker> {
  const path = `${ROOT}.runtimes/edge/node_modules/miniflare/dist/src/index.js`;
  const { Miniflare } = createRequire(path)(path) as MiniflareModule; // CommonJS, which Deno has to be told
  const start = async () => {
    const before = await children();
    const miniflare = new Miniflare({
      modules: true,
      scriptPath: `${ROOT}.build/edge_worker.mjs`,
      compatibilityDate: "2026-07-01",
      durableObjects: Object.fromEntries(
        [
          "LOG:LogUnderTest",
          "COUNTER:Counter",
          "TICKER:Ticker",
          "SLEEPER:Sleeper",
          "LARGE:Large",
          "ROOM:Room",
          "STOCK:StockMirror",
        ].map((
          it,
        ) => it.split(":") as [string, string])
          .map(([name, className]) => [name, { className, useSQLite: true }]),
      ),
      bindings: { SECRET: "sesame" },
      r2Buckets: ["BUCKET", "EMPTY"],
      durableObjectsPersist: `${directory}/objects`,
      r2Persist: `${directory}/r2`,
      ...(inspect && { inspectorPort: 0 }),
    });
    const url = (await miniflare.ready).href.replace(/\/$/, "");
    const pid = [...await children()].find((pid) => !before.has(pid));
    if (pid === undefined) throw new Error("There is no workerd");
    return { miniflare, url, pid, inspector: inspect ? (await miniflare.getInspectorURL()).href : "" };
  };
  let running = await start();
  return {
    get url() {
      return running.url;
    },
    get inspector() {
      return running.inspector;
    },
    get pid() {
      return running.pid;
    },
    async crash() {
      process.kill(running.pid, "SIGKILL");
      // What is left of one whose process is gone may wait for answers that never come.
      const disposed = running.miniflare.dispose().catch(() => {});
      await Promise.race([disposed, new Promise((resolve) => setTimeout(resolve, 5000))]);
      running = await start();
    },
    evict: (className, name) =>
      running.miniflare.unsafeEvictDurableObject("", className, { name, webSockets: "hibernate" }),
    stop: () => running.miniflare.dispose(),
  };
}

/** The processes of workerd that this one has started. */
async function children(): Promise<Set<number>> {
  const found = new Set<number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const [, program, parent] = /^\d+ \((.*)\) \S (\d+)/.exec(stat) ?? [];
    if (program === "workerd" && Number(parent) === process.pid) found.add(Number(name));
  }
  return found;
}

/** Runs something with a worker whose directory is new, and gone afterwards. */
export async function withWorker(
  body: (worker: Worker) => Promise<void>,
  options: WorkerOptions = {},
): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/snapstream-edge-`);
  try {
    const worker = await startWorker(directory, options);
    try {
      await body(worker);
    } finally {
      await worker.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Looks until something is so: what goes on in workerd tells nobody. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { seconds = 30, every = 20 }: { readonly seconds?: number; readonly every?: number } = {},
): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} seconds`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

let shared: Promise<Worker> | undefined;
const sharedDirectory = `${tmpdir()}/snapstream-edge-shared-${process.pid}`;

/** The worker that the tests share which need none of their own. */
export function theWorker(): Promise<Worker> {
  return shared ??= startWorker(sharedDirectory);
}

/** Stops that one. */
export async function stopTheWorker(): Promise<void> {
  await (await shared)?.stop();
  await rm(sharedDirectory, { recursive: true, force: true });
}

/** A request that takes so long hangs, in milliseconds; the test that waits for it would not say which it was. */
const HANGS = 100_000;

/**
 * Sends a request on a connection of its own: one that is kept, workerd closes when it has waited for five seconds, or
 * has not read what was sent on it, and whoever sends on it at that moment gets no answer.
 */
export function request(url: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(HANGS), ...init, headers: { ...init.headers, connection: "close" } });
}

/** Asks the worker; what it answers must be good. */
export async function ask(url: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<string> {
  const response = await request(url, init).catch((error: Error) => {
    throw new Error(`${url} is not answered: ${error.message}, ${error.cause}`, { cause: error });
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text.slice(0, 2000)}`);
  return text;
}
