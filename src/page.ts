/**
 * A page for a server of snapshots: see {@linkcode page}. Runs wherever a handler does, also on a Worker.
 *
 * It shows in a browser what is there: the snapshots with sizes, ages and files, a timeline, the chunk map of each,
 * what is shared with the one before, damaged or missing, what is being sent and received, a replica's log and
 * followers; and it verifies a snapshot in the browser. It asks its own server only, and has no cookies and no scripts
 * of others.
 *
 * ## With a password, asked for by the browser
 *
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { snapshotHandler } from "@snapstream/snapstream";
 * import { page } from "@snapstream/snapstream/page";
 * import { serve } from "@snapstream/snapstream/serve";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * const handler = snapshotHandler(replica.storage, {
 *   page,
 *   target: replica, // so that it shows the log and the followers, and can take a snapshot
 *   authorize: ({ headers }) =>
 *     headers.get("Authorization") === `Basic ${btoa("ada:secret")}` ||
 *     new Response("Who is there?", { status: 401, headers: { "WWW-Authenticate": 'Basic realm="snapshots"' } }),
 * });
 * const server = await serve(handler, { port: 0 }); // open server.url in a browser
 * const answers = await Promise.all([
 *   fetch(server.url).then((response) => response.text().then(() => response.status)),
 *   fetch(server.url, { headers: { Authorization: `Basic ${btoa("ada:secret")}` } }).then((it) => it.text()),
 * ]);
 * console.assert(answers[0] === 401 && answers[1].includes("<title>Snapstream</title>"));
 * await Promise.all([server.close(), handler.close(), replica.close()]);
 * ```
 *
 * Below a prefix the address ends with a slash: `https://example.com/state/`. From the command line: `snapstream serve
 * DIRECTORY --page`.
 *
 * @module
 */

export { page } from "./page/mod.ts";
