// Real servers on loopback, each with a directory of its own, that can be killed and started again.

import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/nats-core";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { inTemp } from "./temp.ts";

/** Where the package has its program. */
export const PROGRAM = "usr/sbin/nats-server";

/** The program: the one that the environment names, for another version; unpacked by the suite (from the source, or a bundle in `.build`, it lies there), or one that is installed. */
export function programPath(): string | undefined {
  const { NATS_SERVER } = process.env;
  if (NATS_SERVER !== undefined) return NATS_SERVER;
  const unpacked = ["../..", ".."].map((root) =>
    fileURLToPath(new URL(`${root}/.runtimes/jetstream/${PROGRAM}`, import.meta.url))
  );
  return [...unpacked, `/${PROGRAM}`, "/usr/bin/nats-server"].find((path) => existsSync(path));
}

/** A port that nobody has now. */
export function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** A server. */
export class NatsServer {
  readonly port: number;
  readonly #config: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();

  constructor(port: number, config: string) {
    this.port = port;
    this.#config = config;
  }

  /** Writes the configuration of one, and starts it. */
  static async start(directory: string, config = "", jetstream = true): Promise<NatsServer> {
    const port = await freePort();
    await mkdir(directory, { recursive: true });
    const path = `${directory}/server.conf`;
    const store = jetstream ? `jetstream { store_dir: "${directory}/store", max_mem: 64MB, max_file: 8GB }` : "";
    await writeFile(path, `listen: "127.0.0.1:${port}"\n${store}\n${config}\n`);
    const server = new NatsServer(port, path);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it; resolves when it takes connections. */
  async start(): Promise<void> {
    const program = programPath();
    if (program === undefined) throw new Error("There is no nats-server: deno task test:jetstream gets it");
    const child = spawn(program, ["--config", this.#config], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", resolve));
    let output = "";
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`nats-server ended:\n${output}`)));
      child.stderr!.on("data", (text) => {
        if (output.length < 100_000) output += text;
        if (/Server is ready/.test(output)) resolve();
      });
    });
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** A connection that never gives up. */
  connect(options: NodeConnectionOptions = {}): Promise<NatsConnection> {
    return connect({ servers: this.url, maxReconnectAttempts: -1, reconnectTimeWait: 50, timeout: 3000, ...options });
  }
}

/** Does something with a server, which is gone afterwards. */
export function withNats<T>(
  work: (server: NatsServer, directory: string) => Promise<T>,
  config = "",
  jetstream = true,
): Promise<T> {
  return inTemp(async (directory) => {
    const server = await NatsServer.start(`${directory}/nats`, config, jetstream);
    try {
      return await work(server, directory);
    } finally {
      await server.kill();
    }
  });
}

/** Waits until servers have found each other: one leads, and a stream can be on all of them. */
async function found(servers: readonly NatsServer[]): Promise<void> {
  const connection = await servers[0]!.connect();
  try {
    for (let tries = 0;; tries++) {
      try {
        const manager = await jetstreamManager(connection);
        const config = { name: "ready", subjects: ["ready"], num_replicas: servers.length };
        await manager.streams.add(config);
        await manager.streams.delete("ready");
        return;
      } catch (error) {
        if (tries === 100) throw error; // each waits for its answer, some for five seconds
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  } finally {
    await connection.close();
  }
}

/** Does something with three servers that are one cluster. */
export function withCluster<T>(work: (servers: readonly NatsServer[]) => Promise<T>): Promise<T> {
  return inTemp(async (directory) => {
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const routes = ports.map((port) => `"nats-route://127.0.0.1:${port}"`).join(", ");
    const servers = await Promise.all(ports.map((port, i) =>
      NatsServer.start(
        `${directory}/${i}`,
        `server_name: n${i}\ncluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
      )
    ));
    try {
      await found(servers);
      return await work(servers);
    } finally {
      for (const server of servers) await server.kill();
    }
  });
}
