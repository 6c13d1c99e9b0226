// A browser, a site, and a server with snapshots, for a test.

import { jsonCodec, KeyValueMachine, MemoryStorage, snapshotHandler, Throttle } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { noise } from "../support/harness.ts";
import { type Browser, startBrowser } from "./chromium.ts";
import { type Site, startSite } from "./site.ts";

export interface World {
  readonly browser: Browser;
  readonly site: Site;
}

/** Does something with a browser, which is gone afterwards. */
export async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  const site = await startSite();
  try {
    const browser = await startBrowser();
    try {
      await work({ browser, site });
    } finally {
      await browser.close();
    }
  } finally {
    await site.close();
  }
}

/** A server with snapshots; it counts what it sends. */
export interface Source {
  readonly url: string;
  readonly storage: MemoryStorage;
  /** Bytes of content that it sent. */
  sent(): number;
  close(): Promise<void>;
}

/**
 * Starts a server that any page may use.
 *
 * @param rate bytes a second, at most
 */
export async function startSource(rate?: number): Promise<Source> {
  const storage = new MemoryStorage();
  let sent = 0;
  const handler = snapshotHandler(storage, {
    cors: "*",
    ...(rate !== undefined && { throttle: new Throttle(rate) }),
  });
  const server = await serve(async (request) => {
    const response = await handler(request);
    if (response.body === null || request.headers.get("Range") === null) return response;
    const counting = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        sent += piece.length;
        controller.enqueue(piece);
      },
    });
    return new Response(response.body.pipeThrough(counting), response);
  }, { port: 0 });
  return {
    url: server.url,
    storage,
    sent: () => sent,
    async close() {
      await server.close();
      await handler.close();
    },
  };
}

/** Commits a snapshot of one file that looks random. */
export async function saveNoise(storage: MemoryStorage, index: bigint, size: number): Promise<void> {
  const writer = await storage.create();
  const file = writer.file("state").getWriter();
  for (let at = 0; at < size; at += 8_000_000) await file.write(noise(Math.min(8_000_000, size - at), at + 1));
  await file.close();
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
}

/** Commits a snapshot of a machine with so many entries: `"1"` is 1, and so on. */
export async function saveMachine(storage: MemoryStorage, index: bigint, entries: number): Promise<void> {
  const machine = new KeyValueMachine(jsonCodec<number>());
  for (let i = 1; i <= entries; i++) machine.apply({ index: BigInt(i), term: 1n, data: machine.put(String(i), i) });
  const task = machine.save()!;
  const writer = await storage.create();
  try {
    await task.write(writer, new AbortController().signal);
  } finally {
    task.release();
  }
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
}
