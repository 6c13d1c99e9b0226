/**
 * An HTTP server for a handler, on Deno, Node and Bun.
 *
 * @module
 */

import type { AddressInfo } from "node:net";
import { LONGEST_WAIT } from "../../async/mod.ts";
import { checkFunction, checkOptions, checkString, checkTimeout, integer, limitOf, required } from "../../checks.ts";
import { Connections } from "./connections.ts";
import { answer, type Handler } from "./node_listener.ts";

/** Options of {@linkcode serve}. */
export interface ServeOptions {
  /** The port; 0 for any that is free. */
  readonly port: number;
  /**
   * The address to listen at.
   *
   * @default {"127.0.0.1"}
   */
  readonly hostname?: string;
  /**
   * The longest time for which a client may send nothing of its request's headers, or take nothing of what it is
   * sent, in milliseconds; 0 for no limit. Then its connection is closed. On Bun it is rounded to seconds, at most 255.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * The connections that there may be at a time. When there is one more, one goes: of the address that has the most,
   * the one that has been idle, or else open, for longest. Each takes some 10 to 60 kB. On Bun, where they take 1 to
   * 3 kB, there is no limit.
   *
   * @default {1024}
   */
  readonly maxConnections?: number;
}

/** A server that is running. */
export interface Server {
  /** Where it can be reached. */
  readonly url: string;
  /** Stops it; requests that are running are cut off. */
  close(): Promise<void>;
}

/** The part of Bun's server that is used. */
interface BunServer {
  timeout(request: Request, seconds: number): void;
  requestIP(request: Request): { readonly address: string } | null;
}

/** The part of Bun that is used. */
interface BunLike {
  serve(options: {
    port: number;
    hostname: string;
    idleTimeout: number;
    maxRequestBodySize: number;
    development: boolean;
    error(): Response;
    fetch(request: Request, server: BunServer): Response | Promise<Response>;
  }): { port: number; stop(closeActiveConnections: boolean): Promise<void> };
}

/**
 * Serves a handler on Bun with `Bun.serve`, elsewhere with `node:http`: `Deno.serve` has no way to close the connection
 * of a client that reads nothing, or sends half of its headers.
 *
 * @param handler answers requests
 * @param options where to listen
 */
export async function serve(handler: Handler, options: ServeOptions): Promise<Server> {
  checkFunction(handler, "handler");
  const { port, hostname = "127.0.0.1", stallTimeout: given = 60_000, maxConnections = 1024 } = checkOptions(options, {
    port: required(integer(0, 65535)),
    hostname: checkString,
    stallTimeout: checkTimeout,
    maxConnections: integer(1),
  });
  const limit = limitOf(given);
  const stallTimeout = limit === Infinity ? 0 : Math.min(limit, LONGEST_WAIT); // a server's timers know 0 for none
  const url = (actual: number) => `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${actual}`;
  const { Bun } = globalThis as { Bun?: BunLike };
  if (Bun !== undefined) {
    // No limit on a body: it is 128 MiB by default.
    const seconds = stallTimeout === 0 ? 0 : Math.min(Math.max(Math.round(stallTimeout / 1000), 1), 255);
    const server = Bun.serve({
      port,
      hostname,
      idleTimeout: seconds,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Otherwise an error of the handler is shown to the client, with the source around it.
      development: false,
      error: () => new Response(null, { status: 500 }),
      async fetch(request, server) {
        server.timeout(request, 0); // a large body may be verified for long; the handler watches how it comes
        const response = await handler(request, { client: server.requestIP(request)?.address ?? "" });
        server.timeout(request, seconds);
        return response;
      },
    });
    return { url: url(server.port), close: () => server.stop(true) };
  }
  const { createServer } = await import("node:http");
  const connections = new Connections(maxConnections);
  const server = createServer(
    { connectionsCheckingInterval: stallTimeout === 0 ? 10_000 : Math.min(stallTimeout, 10_000) },
    (request, response) => {
      response.once("close", connections.answering(request.socket));
      void answer(handler, request, response);
    },
  );
  server.requestTimeout = 0; // five minutes otherwise, for the whole of a body
  server.headersTimeout = stallTimeout;
  server.on("connection", (socket) => connections.add(socket));
  server.timeout = stallTimeout; // of each request at a connection: `socket.setTimeout` would be of the first one only
  // Idle is also who waits for a large body to be verified: only a client that does not take its answer has to go, or
  // that asks for nothing. Without a listener the server would end the connection of either.
  server.on("timeout", (socket) => {
    if (socket.writableLength > 0 || !connections.isAnswering(socket)) socket.destroy();
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  return {
    url: url((server.address() as AddressInfo).port),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
