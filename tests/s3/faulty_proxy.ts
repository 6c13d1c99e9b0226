// Between a bucket and its server: passes requests on, or does worse.

import { once } from "node:events";
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { concat } from "../../src/stream/mod.ts";

/** What goes wrong with a request. */
export type ProxyFault =
  /** `503`, with a `Retry-After`; nothing was done. */
  | "before"
  /** It was done, and `503` all the same. */
  | "after"
  /** Done, and the connection closed before the answer. */
  | "lost"
  /** Done twice, one after the other; the second answer is given. */
  | "twice"
  /** Answered with half of the answer's body. */
  | "cut"
  /** A bit of what goes up is flipped. */
  | "flipped"
  /** Answered by somebody else, with `200` and a page. */
  | "portal";

export interface FaultyProxy {
  readonly endpoint: string;
  /** How many requests went wrong, and how. */
  readonly counts: Map<ProxyFault, number>;
  stop(): Promise<void>;
}

/** An answer, all of it. */
interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Uint8Array;
}

const BUSY: Answer = {
  status: 503,
  headers: { "Retry-After": "1", "Content-Type": "application/xml" },
  body: new TextEncoder().encode(
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
  ),
};
const PORTAL: Answer = {
  status: 200,
  headers: { "Content-Type": "text/html" },
  body: new TextEncoder().encode("<html><body>Log in<br></body></html>"),
};

/**
 * Starts a proxy. (With `node:http`, since `fetch` does not pass on the `Host` that was signed.)
 *
 * @param target where to
 * @param choose what goes wrong with a request
 */
export async function startProxy(
  target: string,
  choose: (method: string, target: string) => ProxyFault | undefined,
): Promise<FaultyProxy> {
  const counts = new Map<ProxyFault, number>();
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await bodyOf(incoming);
    const fault = choose(incoming.method!, incoming.url!);
    if (fault !== undefined) counts.set(fault, (counts.get(fault) ?? 0) + 1);
    if (fault === "twice") await pass(target, incoming, body);
    if (fault === "flipped" && body.length > 0) body[body.length >> 1]! ^= 1;
    const isDone = fault !== "before" && fault !== "portal";
    const answer = isDone ? await pass(target, incoming, body) : undefined;
    if (fault === "lost") return void outgoing.destroy();
    const given = fault === "before" || fault === "after" ? BUSY : fault === "portal" ? PORTAL : answer!;
    outgoing.writeHead(given.status, given.headers);
    if (fault !== "cut" || given.body.length < 2) return void outgoing.end(given.body);
    outgoing.write(given.body.subarray(0, given.body.length >> 1), () => outgoing.destroy());
  };
  const server = createServer((incoming, outgoing) => void handle(incoming, outgoing).catch(() => outgoing.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counts, stop };
}

/** Asks the server as the proxy was asked. */
async function pass(target: string, { method, url, headers }: IncomingMessage, body: Uint8Array): Promise<Answer> {
  const onward = request(`${target}${url}`, { method: method!, headers, agent: false });
  onward.end(body);
  const [incoming] = await once(onward, "response") as [IncomingMessage];
  return { status: incoming.statusCode!, headers: incoming.headers, body: await bodyOf(incoming) };
}

async function bodyOf(message: IncomingMessage): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of message) pieces.push(piece as Uint8Array);
  return concat(pieces);
}
