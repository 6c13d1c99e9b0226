// A node of the demo: a replica on a disk, the server of its snapshots, and of its log for followers.

import { type ExecutorEvent, type LogEntry, Replica, type SnapshotHandler, snapshotHandler } from "../../mod.ts";
import type { Disk } from "../../src/fs/mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import { type CityMachine, cityMachine } from "./cities.ts";

export type CityReplica = Replica<CityMachine>;

/** Opens what is in a directory. */
export async function openNode(
  directory: string,
  options: { disk?: Disk; onEvent?: (event: ExecutorEvent) => void } = {},
): Promise<{ replica: CityReplica; storage: DirectoryStorage }> {
  const { disk, onEvent } = options;
  await Deno.mkdir(directory, { recursive: true });
  const storage = await DirectoryStorage.open(`${directory}/snapshots`, disk === undefined ? {} : { disk });
  const log = await SqliteLog.open(`${directory}/log.db`);
  const replica: CityReplica = await Replica.open({
    machine: cityMachine(),
    log,
    storage,
    configuration: { peers: ["127.0.0.1:1:0:0", "127.0.0.1:2:0:0"] },
    purge: { gap: 1 },
    ...(onEvent !== undefined && { onEvent }),
  });
  return { replica, storage };
}

/** Serves the snapshots of a node, and its log below `/entries`. */
export async function serveNode(
  replica: CityReplica,
  storage: DirectoryStorage,
): Promise<{ server: Server; handler: SnapshotHandler }> {
  const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
  const server = await serve((request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== "/entries") return handler(request);
    return new Response(ReadableStream.from(lines(replica.entries(BigInt(searchParams.get("from")!)))));
  }, { port: 0 });
  return { server, handler };
}

/** Brings a follower up to its leader by the log. Returns how many entries that took. */
export async function catchUp(follower: CityReplica, url: string): Promise<number> {
  const response = await fetch(`${url}/entries?from=${follower.status().appliedIndex + 1n}`);
  const entries: LogEntry[] = (await response.text()).split("\n").filter((line) => line !== "").map((line) => {
    const [index, term, data] = JSON.parse(line) as [string, string, string];
    return { index: BigInt(index), term: BigInt(term), data: Uint8Array.fromBase64(data) };
  });
  await follower.append(entries);
  return entries.length;
}

async function* lines(entries: AsyncIterable<LogEntry>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const { index, term, data } of entries) {
    yield encoder.encode(`${JSON.stringify([String(index), String(term), data.toBase64()])}\n`);
  }
}

/** A digest of the whole state: two machines with the same one hold the same, in the same order. */
export async function stateDigest(machine: CityMachine): Promise<string> {
  const encoder = new TextEncoder();
  let digest = new Uint8Array(32);
  let text = "";
  const mix = async () => {
    const all = new Uint8Array([...digest, ...encoder.encode(text)]);
    digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
    text = "";
  };
  for (const entry of machine.entries()) {
    text += JSON.stringify(entry);
    if (text.length > 100_000) await mix();
  }
  await mix();
  return digest.toHex();
}
