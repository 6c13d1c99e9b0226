// A network between client and server that can lose what the server says.

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { NatsConnection } from "@nats-io/nats-core";
import type { NatsServer } from "../support/nats.ts";

/** A proxy in front of a server. */
export interface Proxy {
  /** Connects through it. */
  connect(): Promise<NatsConnection>;
  /** From now on nothing that the server says arrives. */
  mute(): void;
  /** Cuts all connections; new ones are heard again. */
  cut(): void;
  close(): Promise<void>;
}

/** Starts one. */
export async function startProxy(server: NatsServer): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let muted = false;
  const listener = createServer((client) => {
    const upstream = connect(server.port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => muted || client.write(data));
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    muted = false;
  };
  return {
    connect: () => server.connect({ servers: `nats://127.0.0.1:${port}`, ignoreClusterUpdates: true }),
    mute: () => muted = true,
    cut,
    async close() {
      const closed = new Promise((resolve) => listener.close(resolve));
      cut();
      await closed;
    },
  };
}
