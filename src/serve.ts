/**
 * A server for a handler, on Deno, Node and Bun; and how state goes from node to node.
 *
 * ```ts
 * import { MemoryStorage, snapshotHandler } from "@snapstream/snapstream";
 * import { serve } from "@snapstream/snapstream/serve";
 *
 * const handler = snapshotHandler(new MemoryStorage());
 * const server = await serve(handler, { port: 0 });
 * const list = await (await fetch(`${server.url}/snapshots`)).json();
 * console.assert(list.length === 0);
 * await server.close();
 * await handler.close();
 * ```
 *
 * ## From node to node
 *
 * `pull(storage, sources)` asks every source for what it has, and takes chunks of all: each is verified before it is
 * written, and comes once, whatever it is called and wherever it lies in this snapshot or an earlier one. A source that
 * is slow gives less; what one stalls with, another does; one that fails is retried, later each time; one that lies is
 * dropped and named. A node serves what has come of a snapshot that it is itself fetching: where followers know each
 * other, ten of them draw about one snapshot from the leader. `push(reader, follower)` sends only what the follower
 * does not have, and that only once; `replica.push(follower)` the state as it is now, without a disk and without a
 * pause. A `Throttle` holds all streams that share it to a rate, which can be changed while they run.
 *
 * Who decides is up to you: the leader (`push`), the follower (`pull`, `Replica.install`), or in notification mode
 * both: a leader says what it no longer has (`notifyInstall`), and the follower's `onNotification` where to fetch a
 * snapshot from; the answers are Ratis's, with numbers.
 *
 * ## A leader and its followers
 *
 * The handler of a replica (`target`) streams the log behind the snapshots too. A follower installs a snapshot if it
 * must and then stays on the log; it may be followed itself. Every batch is proven to be of the history that is here
 * before it is applied. Nothing is elected: a person, or a program that knows that the leader is gone, promotes one.
 *
 * ### A leader, a follower, and the follower promoted
 *
 * ```ts
 * import { hasCode, KeyValueMachine, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 * import { snapshotHandler, utf8Codec } from "@snapstream/snapstream";
 * import { serve } from "@snapstream/snapstream/serve";
 *
 * const token = "Bearer secret"; // from the environment; compared in constant time where strangers are
 * async function node() {
 *   const machine = new KeyValueMachine(utf8Codec()); // on a disk: `DirectoryStorage` and `SqliteLog`
 *   const storage = new MemoryStorage({ group: "cities" });
 *   const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
 *   const authorize = ({ headers }: Request) => headers.get("Authorization") === token;
 *   const handler = snapshotHandler(storage, { target: replica, authorize });
 *   const server = await serve(handler, { port: 0 });
 *   const close = () => Promise.all([replica.close(), server.close(), handler.close()]);
 *   return { machine, replica, close, source: { url: server.url, headers: { Authorization: token } } };
 * }
 *
 * const [leader, standby] = await Promise.all([node(), node()]);
 * const told = Promise.withResolvers<void>();
 * const follower = standby.replica.follow([leader.source], {
 *   onEvent: ({ type }) => type === "told" && told.resolve(),
 * });
 * const { index } = await leader.replica.propose(leader.machine.put("Ulm", "120714"));
 * await follower.caughtUp(index); // reads its own writes
 * console.assert(standby.machine.get("Ulm") === "120714");
 *
 * await follower.promote(); // leads from now on, in a higher term, and tells the former leader
 * await told.promise;
 * const refused = await leader.replica.propose(leader.machine.put("Ulm", "0")).catch((error) => error);
 * console.assert(hasCode(refused, "STALE"));
 * await Promise.all([leader.close(), standby.close()]);
 * ```
 *
 * Open a leader with `followers`, the handlers of those that may have been promoted while it was away, and it asks them
 * before it takes a proposal. The log is kept for followers that were heard of lately (`purge.safeIndexTimeout`), if
 * they may write. `curl 'http://leader:8080/log?from=1&wait' -H 'Accept: application/json'` shows it to people.
 *
 * ## Mounted elsewhere
 *
 * A handler is a function from `Request` to `Response`: it runs as it is in `Deno.serve`, `Bun.serve`, Workers and
 * Hono, and by {@linkcode nodeListener} in Express, Connect and `node:http`. It works below a prefix that the framework
 * takes away; `pull` and the others get the address with the prefix. Say who the client is (`client`) where the
 * framework does not: places and queues are shared out by it.
 *
 * ### In Hono, on any runtime
 *
 * ```ts
 * import { Hono } from "hono";
 * import { bytesMachine, MemoryStorage, pull, save, snapshotHandler } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * await save(bytesMachine({ apply() {}, encode: () => new Uint8Array(1000), decode() {} }), storage);
 * const handler = snapshotHandler(storage, {
 *   client: (request) => request.headers.get("CF-Connecting-IP") ?? "", // as your proxy says it
 * });
 * const app = new Hono();
 * app.mount("/state", (request) => handler(request)); // before middleware that reads bodies
 *
 * const fetch = (request: Request) => Promise.resolve(app.fetch(request)); // `export default app` in a Worker
 * const { snapshot } = await pull(new MemoryStorage(), [{ url: "http://localhost/state", fetch }]);
 * console.assert(snapshot.size === 1000);
 * await handler.close();
 * ```
 *
 * ### In Express
 *
 * ```ts
 * import express from "express";
 * import { bytesMachine, MemoryStorage, pull, save, snapshotHandler } from "@snapstream/snapstream";
 * import { nodeListener } from "@snapstream/snapstream/serve";
 *
 * const storage = new MemoryStorage();
 * await save(bytesMachine({ apply() {}, encode: () => new Uint8Array(1000), decode() {} }), storage);
 * const handler = snapshotHandler(storage);
 * const app = express();
 * app.use("/state", nodeListener(handler)); // before `express.json()`
 * app.use(express.json());
 *
 * const server = app.listen(0, "127.0.0.1");
 * await new Promise((listening) => server.once("listening", listening));
 * const { snapshot } = await pull(new MemoryStorage(), [`http://127.0.0.1:${server.address().port}/state`]);
 * console.assert(snapshot.size === 1000);
 * server.closeAllConnections();
 * await new Promise((closed) => server.close(closed));
 * await handler.close();
 * ```
 *
 * ## Plain HTTP
 *
 * Whatever a handler serves, `curl`, `wget -c`, a browser and a CDN can fetch: ranges (several at once, too), tags,
 * digests, `Cache-Control: immutable` below the digest of a snapshot, problem documents, and CORS if you ask for it.
 *
 * ```sh
 * curl http://leader:8080/snapshots/latest/manifest -H 'Accept: application/json'
 * curl -C - -O http://leader:8080/snapshots/latest/archive   # resumes where it was cut off
 * curl -T snapshot-7.snapstream http://follower:8080/snapshots/7 -H "Authorization: Bearer $TOKEN"
 * ```
 *
 * @module
 */

export { type Connection, type Handler, type NodeListener, nodeListener } from "./transfer/server/node_listener.ts";
export * from "./transfer/server/serve.ts";
