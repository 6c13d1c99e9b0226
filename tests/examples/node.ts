// A node of the demo: a replica on a disk, and the server of its snapshots and its log.

import { type ExecutorEvent, Replica, type SnapshotHandler, snapshotHandler } from "../../mod.ts";
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

/** Serves the snapshots of a node, and its log. */
export async function serveNode(
  replica: CityReplica,
  storage: DirectoryStorage,
): Promise<{ server: Server; handler: SnapshotHandler }> {
  const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
  return { server: await serve(handler, { port: 0 }), handler };
}

/** Brings a follower up to its leader by the log. Returns how many entries that took. */
export async function catchUp(replica: CityReplica, url: string): Promise<number> {
  const before = replica.status().appliedIndex;
  const follower = replica.follow([url]);
  await follower.caughtUp();
  await follower.close();
  return Number(replica.status().appliedIndex - before);
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
