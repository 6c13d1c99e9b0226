// The line between a browser and a server, which can be cut: the browser's own `offline` does not reach what a
// dedicated worker has open.

import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A line to a server. */
export interface Line {
  /** The server's address by this line. */
  readonly url: string;
  /** Ends all connections, and lets none through from now on. */
  cut(): void;
  /** Lets connections through again. */
  mend(): void;
  close(): Promise<void>;
}

/** Lays one to an address. */
export async function startLine(server: string): Promise<Line> {
  const { port, pathname } = new URL(server);
  const sockets = new Set<Socket>();
  let isCut = false;
  const listener = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = connect(Number(port), "127.0.0.1");
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}${pathname.replace(/\/$/, "")}`,
    cut,
    mend: () => isCut = false,
    async close() {
      const closed = new Promise((resolve) => listener.close(resolve));
      cut();
      await closed;
    },
  };
}
