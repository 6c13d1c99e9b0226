// Firefox, driven by WebDriver BiDi, which it speaks itself; what is used of that.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

/** What is used of a page, as of Chromium's. */
export interface DrivenPage {
  goto(url: string): Promise<unknown>;
  on(event: "console", listener: (message: { text(): string }) => void): unknown;
  on(event: "pageerror", listener: (error: Error) => void): unknown;
  on(event: "close" | "crash", listener: () => void): unknown;
}

/** An event, or the answer to a command. */
interface Message {
  readonly id?: number;
  readonly error?: string;
  readonly message?: string;
  readonly result?: { readonly context?: string };
  readonly method?: string;
  readonly params?: { readonly type?: string; readonly level?: string; readonly text?: string };
}

/** Nothing that asks, or goes to the network, when it starts. */
const PREFERENCES = { "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false };

/** Starts a browser, with a profile of its own. */
export async function startFirefox(): Promise<{ page(): Promise<DrivenPage>; close(): Promise<void> }> {
  const profile = await mkdtemp(`${tmpdir()}/snapstream-firefox-`);
  const preferences = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});\n`);
  await writeFile(`${profile}/user.js`, preferences.join(""));
  const args = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"];
  const child = spawn(process.env.FIREFOX!, args, {
    env: { ...process.env, HOME: profile },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // a group of its own: its children end with it
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const close = async () => {
    if (child.exitCode === null) process.kill(-child.pid!, "SIGKILL");
    await exited;
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  try {
    const address = await new Promise<string>((resolve, reject) => {
      let said = "";
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`Firefox ended:\n${said}`)));
      child.stderr.on("data", (text) => {
        said += text;
        const found = /WebDriver BiDi listening on (ws:\S+)/.exec(said);
        if (found !== null) resolve(found[1]!);
      });
    });
    const session = await connect(`${address}/session`);
    await session.send("session.new", { capabilities: {} });
    await session.send("session.subscribe", { events: ["log.entryAdded", "browsingContext.contextDestroyed"] });
    return { page: () => newPage(session), close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Session {
  send(method: string, params: object): Promise<NonNullable<Message["result"]>>;
  listen(listener: (message: Message) => void): void;
}

async function connect(url: string): Promise<Session> {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`Firefox does not answer at ${url}`));
  });
  const pending = new Map<number, (answer: Message) => void>();
  const listeners: ((message: Message) => void)[] = [];
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(String(data));
    if (message.id === undefined) { for (const listener of listeners) listener(message); }
    else pending.get(message.id)?.(message);
  };
  // Those who wait for an answer, or for the page, hear that there is no browser any more.
  socket.onclose = () => {
    const gone: Message = { method: "browsingContext.contextDestroyed", error: "gone", message: "Firefox is gone" };
    for (const settle of pending.values()) settle(gone);
    for (const listener of listeners) listener(gone);
  };
  let id = 0;
  return {
    listen: (listener) => void listeners.push(listener),
    async send(method, params) {
      const number = ++id;
      const answer = await new Promise<Message>((resolve) => {
        pending.set(number, resolve);
        socket.send(JSON.stringify({ id: number, method, params }));
      });
      pending.delete(number);
      if (answer.error !== undefined) throw new Error(`${method}: ${answer.error}: ${answer.message}`);
      return answer.result!;
    },
  };
}

async function newPage(session: Session): Promise<DrivenPage> {
  const { context } = await session.send("browsingContext.create", { type: "tab" });
  return {
    goto: (url) => session.send("browsingContext.navigate", { context, url, wait: "complete" }),
    on(event: string, listener: (it: never) => void) {
      session.listen(({ method, params = {} }) => {
        const { type, level, text = "" } = params;
        if (event === "close" && method === "browsingContext.contextDestroyed") (listener as () => void)();
        if (method !== "log.entryAdded") return;
        if (event === "console" && type === "console") {
          (listener as (it: { text(): string }) => void)({ text: () => text });
        }
        if (event === "pageerror" && type === "javascript" && level === "error") {
          (listener as (it: Error) => void)(new Error(text));
        }
      });
    },
  };
}
