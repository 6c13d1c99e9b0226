// Chromium, driven by playwright-core; what is used of that.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

/** What is used of playwright's `Page`. */
export interface Page {
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  close(): Promise<void>;
  evaluate<T>(expression: string): Promise<T>;
  waitForFunction(expression: string): Promise<unknown>;
  screenshot(options: { path: string; fullPage?: boolean }): Promise<unknown>;
  emulateMedia(options: { colorScheme: "light" | "dark" }): Promise<unknown>;
  setViewportSize(size: { width: number; height: number }): Promise<unknown>;
  readonly keyboard: { press(key: string): Promise<unknown> };
  on(event: "request", listener: (request: { url(): string }) => void): unknown;
  on(event: "console", listener: (message: { text(): string }) => void): unknown;
  on(event: "pageerror", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "crash", listener: () => void): unknown;
}

/** What is used of a session of the DevTools protocol. */
export interface DevTools {
  send(method: string, parameters?: Record<string, unknown>): Promise<Record<string, unknown>>;
}

interface Context {
  newPage(): Promise<Page>;
  close(): Promise<void>;
  setOffline(offline: boolean): Promise<void>;
  newCDPSession(page: Page): Promise<DevTools>;
  on(event: "close", listener: () => void): unknown;
}

interface Playwright {
  readonly chromium: {
    launchPersistentContext(profile: string, options: Record<string, unknown>): Promise<Context>;
  };
}

/** A browser that is running, with a profile of its own. */
export interface Browser {
  page(): Promise<Page>;
  devTools(page: Page): Promise<DevTools>;
  setOffline(offline: boolean): Promise<void>;
  /** Bytes of memory that the largest of its pages has to itself. */
  memory(): Promise<number>;
  /** Kills all of it at once. The profile stays; {@linkcode start} opens it again. */
  kill(): Promise<void>;
  /** Starts it again with the same profile, after it was killed. */
  start(): Promise<void>;
  /** Ends it, and removes the profile. */
  close(): Promise<void>;
}

/** Starts a browser. */
export async function startBrowser(): Promise<Browser> {
  const { chromium }: Playwright = await import(process.env.PLAYWRIGHT!);
  const profile = await mkdtemp(`${tmpdir()}/snapstream-browser-`);
  const launch = () =>
    chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM!,
      args: ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--js-flags=--expose-gc"],
    });
  let context = await launch();
  return {
    page: () => context.newPage(),
    devTools: (page) => context.newCDPSession(page),
    setOffline: (offline) => context.setOffline(offline),
    async kill() {
      const closed = new Promise<void>((resolve) => context.on("close", () => resolve()));
      const pids = await processes(profile);
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await closed;
      // A thread that is still in a system call keeps the locks of its process. A browser that finds a lock of its
      // database of files taken removes all data of the origin.
      while ((await Promise.all(pids.map(isAlive))).includes(true)) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    memory: async () => {
      let most = 0;
      for (const pid of await processes(profile)) {
        const [command, status] = await Promise.all([textOf(pid, "cmdline"), textOf(pid, "status")]);
        if (!command.includes("--type=renderer")) continue;
        most = Math.max(most, Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024);
      }
      return most;
    },
    async start() {
      context = await launch();
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** The browser's processes: the one that has this profile, and those that it started. */
async function processes(profile: string): Promise<number[]> {
  const all = await Promise.all(
    (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(async (name) => {
      const [command, stat] = await Promise.all([textOf(Number(name), "cmdline"), textOf(Number(name), "stat")]);
      // After the name, which may hold anything: the state, and the parent.
      return { pid: Number(name), command, parent: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) };
    }),
  );
  const found = all.filter(({ command }) => command.includes(`--user-data-dir=${profile}`)).map(({ pid }) => pid);
  for (let i = 0; i < found.length; i++) {
    for (const { pid, parent } of all) if (parent === found[i] && !found.includes(pid)) found.push(pid);
  }
  return found;
}

/** Whether a thread of a process is left; the entry of a process stays until its parent has heard of its end. */
async function isAlive(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const states = await Promise.all(threads.map((thread) => textOf(pid, `task/${thread}/stat`)));
  return states.some((stat) => stat !== "" && !/\) [ZX]/.test(stat));
}

/** A file about a process; nothing of one that has ended. */
async function textOf(pid: number, file: string): Promise<string> {
  return await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
}
