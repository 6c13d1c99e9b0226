// Redis with one replica, both with an append-only file that is synced for each write: what `SET` and `WAIT` give.

import { type ChildProcess, spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { mkdir } from "node:fs/promises";
import process from "node:process";

/** Debian's package of that name; another file by the environment variable `REDIS_SERVER`. */
const SERVER = process.env["REDIS_SERVER"] ?? "redis-server";

/** A connection: one command after the other. */
class Connection {
  readonly #socket: Socket;
  #waiting: ((reply: string) => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    let rest = "";
    socket.setNoDelay(true).setEncoding("latin1").on("data", (text: string) => {
      const lines = (rest + text).split("\r\n");
      rest = lines.pop()!;
      for (const line of lines) this.#waiting.shift()?.(line);
    });
    socket.on("error", () => {});
  }

  static async open(port: number): Promise<Connection> {
    for (let tries = 0;; tries++) {
      const socket = connect(port, "127.0.0.1");
      const isOpen = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      if (isOpen) return new Connection(socket);
      if (tries === 100) throw new Error(`Redis does not listen on ${port}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Sends a command whose reply is one line. */
  send(...words: string[]): Promise<string> {
    this.#socket.write(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A Redis, and one that replicates it. */
export interface RedisPair {
  /** Sets keys, so many at a time, each until the replica has it as well. */
  set(count: number, inFlight: number, value: string): Promise<void>;
  /** Ends both. */
  close(): Promise<void>;
}

/** Starts both; nothing if there is no Redis on this machine. */
export async function startRedis(directory: string): Promise<RedisPair | undefined> {
  const port = 20_000 + process.pid % 20_000;
  const servers: ChildProcess[] = [];
  const start = async (port: number, ...more: string[]) => {
    await mkdir(`${directory}/${port}`, { recursive: true });
    const options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", `${directory}/${port}`];
    const server = spawn(SERVER, ["--port", String(port), ...options, ...more], { stdio: "ignore" });
    servers.push(server);
    return await new Promise<boolean>((resolve) => {
      server.once("spawn", () => resolve(true)).once("error", () => resolve(false));
    });
  };
  if (!await start(port)) return undefined;
  await start(port + 1, "--replicaof", "127.0.0.1", String(port));
  const first = await Connection.open(port);
  while (await first.send("WAIT", "1", "100") !== ":1") await first.send("SET", "begun", "1");
  first.close();
  let written = 0;
  return {
    async set(count, inFlight, value) {
      let left = count;
      await Promise.all(Array.from({ length: inFlight }, async () => {
        const connection = await Connection.open(port);
        while (left-- > 0) {
          const set = connection.send("SET", `k${written++ % 100_000}`, value);
          const reply = await connection.send("WAIT", "1", "0");
          if (await set !== "+OK" || reply !== ":1") throw new Error(`Redis says ${await set}, ${reply}`);
        }
        connection.close();
      }));
    },
    async close() {
      for (const server of servers) {
        const ended = new Promise((resolve) => server.once("exit", resolve));
        server.kill("SIGKILL");
        await ended;
      }
    },
  };
}
