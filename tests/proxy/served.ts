// A server with one file, for clients that are not ours.

import { type MemoryStorage, snapshotHandler } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert, noise } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { inTemp } from "../support/temp.ts";
import { type Ended, type Program, run } from "./programs.ts";

/** Its content. */
export const STATE: Uint8Array<ArrayBuffer> = noise(3_000_000, 1);

/** What is served, and where the clients put it. */
export interface World {
  readonly url: string;
  readonly storage: MemoryStorage;
  readonly directory: string;
  /** Ranges that were asked for. */
  readonly ranges: string[];
}

/** Does something with it. */
export function served(work: (world: World) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    const storage = await storageWith(9n, { "data/state": STATE });
    const handler = snapshotHandler(storage, { allowWrites: true });
    const ranges: string[] = [];
    const server = await serve((request, connection) => {
      const range = request.headers.get("Range");
      if (range !== null) ranges.push(range);
      return handler(request, connection);
    }, { port: 0 });
    try {
      await work({ url: server.url, storage, directory, ranges });
    } finally {
      await server.close();
      await handler.close();
      await storage.close();
    }
  });
}

/** Runs a program, which has to succeed. */
export async function ran(program: Program, args: readonly string[], directory: string): Promise<Ended> {
  const ended = await run(program, args, directory);
  assert.strictEqual(ended.code, 0, `${program} ${args.join(" ")}: ${ended.stderr} ${ended.stdout}`);
  return ended;
}

/** Its path. */
export const FILE = "/snapshots/9/files/data/state";
