/**
 * A handler as a listener of Node's HTTP server, and of the frameworks that are built on it.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { onAbort } from "../../async/mod.ts";
import { checkFunction } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";

/** The known facts of a connection. */
export interface Connection {
  /** The address of the client. */
  readonly client: string;
}

/** Answers requests. */
export type Handler = (request: Request, connection: Connection) => Response | Promise<Response>;

/**
 * Answers a request of Node's HTTP server.
 *
 * @param incoming the request, whose body nobody has read
 * @param outgoing the answer
 * @param next is told of the error if nothing could be answered, as Express and Connect have it
 */
export type NodeListener = (
  incoming: IncomingMessage | Http2ServerRequest,
  outgoing: ServerResponse | Http2ServerResponse,
  next?: (error: unknown) => void,
) => void;

/**
 * Makes of a handler what `node:http`, `node:https`, `node:http2`, Express, Connect, Fastify (by `@fastify/express`) or
 * Vite's development server call with a request and a response. On Node, Deno and Bun. Below a prefix it answers as at
 * the root: Express takes the prefix away.
 *
 * It belongs before whatever reads bodies (`express.json()`): a `PUT` or `POST` whose body was read before goes to
 * `next` as `UNAVAILABLE`, or is answered with 500. Limits of connections, and of clients that stall, are those of the
 * server that it is mounted in; {@linkcode serve} has its own.
 *
 * @param handler answers requests
 * @returns the listener
 * @throws {SnapshotError} `MALFORMED` if it is no function
 *
 * @example With `node:http`, or `node:https`
 * ```ts
 * import { createServer } from "node:http";
 * import { MemoryStorage, snapshotHandler } from "@snapstream/snapstream";
 * import { nodeListener } from "@snapstream/snapstream/serve";
 *
 * const handler = snapshotHandler(new MemoryStorage());
 * const server = createServer(nodeListener(handler));
 * await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
 * const { port } = server.address() as { port: number };
 * const list = await (await fetch(`http://127.0.0.1:${port}/snapshots`)).json();
 * console.assert(list.length === 0);
 * server.closeAllConnections();
 * await new Promise((closed) => server.close(closed));
 * await handler.close();
 * ```
 */
export function nodeListener(handler: Handler): NodeListener {
  checkFunction(handler, "handler");
  return (request, response, next) => {
    const [incoming, outgoing] = [request as IncomingMessage, response as ServerResponse]; // HTTP/2's have the same
    const address = withSlash(incoming);
    if (address !== undefined) return void outgoing.writeHead(308, { Location: address }).end();
    if (!incoming.readableDidRead || !hasBody(incoming)) return void answer(handler, incoming, outgoing);
    const error = new SnapshotError(
      "UNAVAILABLE",
      `The body of ${incoming.method} ${incoming.url} was read before the handler of snapshots was asked: mount it before ` +
        "what reads bodies",
    );
    if (next !== undefined) next(error);
    else outgoing.writeHead(500).end();
  };
}

/**
 * Where the page is, for whoever asks for the place at which a framework mounted the handler without the slash that
 * ends it: the page's own addresses are relative, and would lead elsewhere. The framework has taken the place away.
 */
function withSlash(incoming: IncomingMessage & { readonly originalUrl?: string }): string | undefined {
  const { originalUrl = "", url = "" } = incoming;
  const [path, query] = originalUrl.split(/(?=\?)/, 2);
  if (hasBody(incoming) || path!.endsWith("/") || !/^\/(\?|$)/.test(url)) return undefined;
  const name = path!.slice(path!.lastIndexOf("/") + 1);
  return name === "" ? undefined : `./${name}/${query ?? ""}`;
}

function hasBody({ method }: IncomingMessage): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Answers a request of `node:http`. */
export async function answer(handler: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const gone = new AbortController();
  // HTTP/2 calls an answer finished whose stream the client has reset, though it was not ended.
  const isAnswered = () => outgoing.writableEnded && outgoing.writableFinished;
  outgoing.once("close", () => isAnswered() || gone.abort(new Error("The client has gone")));
  try {
    const connection = { client: incoming.socket.remoteAddress ?? "" };
    const request = requestOf(incoming, gone.signal);
    const response = request === undefined
      ? new Response(null, { status: 400, headers: { Connection: "close" } })
      : await handler(request, connection);
    const headers: Record<string, string | string[]> = Object.fromEntries(response.headers);
    const cookies = response.headers.getSetCookie(); // the only header that there can be several of
    if (cookies.length > 0) headers["set-cookie"] = cookies;
    if (incoming.httpVersionMajor > 1) delete headers["connection"]; // HTTP/2 refuses an answer that has one
    outgoing.writeHead(response.status, headers);
    if (response.body !== null) await send(response.body, outgoing, gone.signal);
    outgoing.end();
    drain(incoming);
  } catch (error) {
    outgoing.destroy(error instanceof Error ? error : undefined); // a body that is cut off is seen as such
  }
}

/**
 * What changes the path once it is part of a `URL`, in a host or in a path: segments of dots, and what begins a path, a
 * query or a fragment. A middleware before this one that lets a path pass, or does not, has seen another one.
 */
const AMBIGUOUS = { host: /[/\\?#@]/, path: /[\\#]|\/(\.|%2e){1,2}(\/|$)/i };

/**
 * Makes a `Request`; nothing if `Host` or target is no address, or not the one that it looks like, or if `Request` does
 * not know the method (`TRACE`).
 */
function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const [name, value] = [incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!];
    if (!name.startsWith(":")) headers.append(name, value);
  }
  const authority = incoming.headers[":authority"]; // HTTP/2's name of it
  if (typeof authority === "string") headers.set("host", authority);
  const method = incoming.method!;
  // Not destroyed when it is not read to its end: the answer goes out on the same connection.
  const body = hasBody(incoming) ? ReadableStream.from(incoming.iterator({ destroyOnReturn: false })) : null;
  const init = { method, headers, signal, body, ...(body !== null && { duplex: "half" }) };
  const target = incoming.url!;
  const host = headers.get("host") ?? "localhost";
  if (AMBIGUOUS.host.test(host) || AMBIGUOUS.path.test(target.split("?", 1)[0]!)) return undefined;
  const origin = `http://${host}`;
  // A path that begins with two slashes is a path, and not another host.
  const url = target.startsWith("/") ? origin + target : target;
  try {
    return new Request(new URL(url, origin), init as RequestInit);
  } catch {
    return undefined;
  }
}

/** The bytes of an unwanted body that are read, so that the client comes to read the answer. */
const MAX_UNWANTED = 8 * 1024 * 1024;

/** Reads a body that was not wanted, so that the connection can be used again; ends the connection if it is long. */
function drain(incoming: IncomingMessage): void {
  let left = MAX_UNWANTED;
  incoming.on("data", ({ length }: Uint8Array) => void ((left -= length) < 0 && incoming.destroy()));
  incoming.resume();
}

/** Sends a body no faster than it is taken. */
async function send(body: ReadableStream<Uint8Array>, outgoing: ServerResponse, signal: AbortSignal): Promise<void> {
  const reader = body.getReader();
  const unlink = onAbort(signal, (reason) => void reader.cancel(reason).catch(() => {}));
  reader.closed.catch((error) => outgoing.destroy(error)); // it may fail while the client takes nothing
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      if (outgoing.write(value)) continue;
      await new Promise<void>((resolve) => {
        const go = () => {
          outgoing.off("drain", go).off("close", go);
          resolve();
        };
        outgoing.once("drain", go).once("close", go);
      });
    }
  } finally {
    unlink();
  }
}
