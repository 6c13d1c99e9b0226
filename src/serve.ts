/**
 * A server for a handler, on Deno, Node and Bun.
 *
 * @example
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
 * @module
 */

export * from "./transfer/server/serve.ts";
