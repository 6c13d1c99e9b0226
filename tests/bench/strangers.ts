// The memory that a server takes for 10,000 connections of strangers, above what it has taken before: those who say
// nothing, half of a header, take nothing of what they asked for, or little, and those who upload a byte a second.

import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { inTemp } from "../support/temp.ts";
import { firstLine, startModule } from "./child.ts";
import { report } from "./report.ts";

const STRANGERS = 10_000;
/** Connections that are made at the same time: a server has room for so many that it has not taken yet. */
const AT_ONCE = 100;
/** Requests of guests before the strangers come. */
const GUESTS = 10_000;
/** How often memory is looked at once all have come. */
const LOOKS = 40;

const ASKS = "GET /snapshots/latest/content HTTP/1.1\r\nHost: h\r\n\r\n";
const KINDS: Readonly<Record<string, (socket: Socket) => void>> = {
  "idle": () => {},
  "half a header": (socket) => void socket.write(ASKS.slice(0, -3)),
  "taking nothing": (socket) => void socket.pause().write(ASKS),
  "taking little": (socket) => {
    socket.write(ASKS);
    socket.on("data", () => {
      socket.pause();
      setTimeout(() => socket.resume(), 1000).unref();
    });
  },
  "uploading slowly": (socket) => {
    socket.write("PUT /snapshots/9 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    const timer = setInterval(() => void socket.write("x"), 1000);
    socket.once("close", () => clearInterval(timer));
  },
};

/** The memory of a process that is resident, in MiB. */
async function resident({ pid }: ChildProcess): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}

/** Resolves when a connection is made, and has said what it says, or was refused. */
function stranger(url: URL, sockets: Socket[], deed: (socket: Socket) => void): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(url.port), url.hostname, () => {
      deed(socket);
      resolve();
    });
    socket.on("error", () => {}).once("close", () => resolve());
    sockets.push(socket);
  });
}

/** What so many strangers of a kind cost a server, at the most. */
async function cost(directory: string, deed: (socket: Socket) => void): Promise<number> {
  const server = startModule("strangers_server", directory);
  const url = new URL(await firstLine(server));
  // Idle is a server that has had clients: V8 keeps what its young generation has grown to, by 60 to 80 MiB on Deno.
  for (let i = 0; i < GUESTS; i++) await (await fetch(new URL("/snapshots", url))).arrayBuffer();
  for (let i = 0; i < 4; i++) for await (const _ of (await fetch(new URL("/snapshots/latest/content", url))).body!);
  const before = await resident(server);
  const sockets: Socket[] = [];
  let peak = before;
  for (let come = 0; come < STRANGERS; come += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => stranger(url, sockets, deed)));
    peak = Math.max(peak, await resident(server));
  }
  for (let i = 0; i < LOOKS; i++) {
    await pause(250);
    peak = Math.max(peak, await resident(server));
  }
  for (const socket of sockets) socket.destroy();
  const response = await fetch(new URL("/snapshots", url));
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`The server answers ${response.status} when they have gone`);
  server.stdin!.end();
  return peak - before;
}

for (const [kind, deed] of Object.entries(KINDS)) {
  await inTemp(async (directory) => {
    report("strangers", `10,000 connections, ${kind}: above idle`, await cost(directory, deed), "MiB", { atMost: 64 });
  });
}
