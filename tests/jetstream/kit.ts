// Replicas of one stream, and what tests do with them.

import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import {
  type LogEntry,
  MemoryStorage,
  Replica,
  type ReplicaOptions,
  type SharedLog,
  type SnapshotStorage,
} from "../../mod.ts";
import { JetStreamLog, type JetStreamLogOptions } from "../../src/jetstream.ts";
import { Probe } from "../support/probe.ts";
import type { NatsServer } from "../support/nats.ts";

export const STREAM = "leaderboard";

/** A log with a connection of its own. */
export interface OpenLog {
  readonly connection: NatsConnection;
  readonly log: JetStreamLog;
  close(): Promise<void>;
}

/** Opens a log of the stream that all tests use. */
export async function openLog(
  server: Pick<NatsServer, "connect">,
  member = "a",
  options: Partial<JetStreamLogOptions> = {},
): Promise<OpenLog> {
  const connection = await server.connect();
  try {
    const log = await JetStreamLog.open(connection, { stream: STREAM, member, ...options });
    return {
      connection,
      log,
      async close() {
        await log.close();
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** A replica with a connection of its own. */
export interface OpenReplica {
  readonly replica: Replica<Probe>;
  readonly log: JetStreamLog;
  readonly connection: NatsConnection;
  readonly storage: SnapshotStorage;
  close(): Promise<void>;
}

/** Opens a replica that saves only when it is told to, and keeps one snapshot. */
export async function openReplica(
  server: Pick<NatsServer, "connect">,
  member: string,
  options: Partial<ReplicaOptions<Probe>> & { readonly logOptions?: Partial<JetStreamLogOptions> } = {},
): Promise<OpenReplica> {
  const { logOptions, ...rest } = options;
  const storage = options.storage ?? new MemoryStorage({ retain: 1 });
  const opened = await openLog(server, member, logOptions);
  try {
    const replica = await Replica.open({
      machine: new Probe(),
      triggers: { interval: 0, entries: 0 },
      purge: { gap: 1 },
      ...rest,
      log: opened.log,
      storage,
    });
    return {
      replica,
      log: opened.log,
      connection: opened.connection,
      storage,
      async close() {
        await replica.close();
        await opened.connection.close();
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Waits for what no call tells of: another process, or another replica. */
export async function eventually(what: string, is: () => boolean | Promise<boolean>, within = 60_000): Promise<void> {
  const deadline = performance.now() + within;
  while (!await is()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${within} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until a replica has applied an entry. */
export function reaches(replica: Replica<Probe>, index: bigint): Promise<void> {
  return eventually(`entry ${index} applied`, () => replica.status().appliedIndex >= index);
}

/** So many entries of a log from an index on. */
export async function take(log: SharedLog, from: bigint, count: number): Promise<LogEntry[]> {
  const taken: LogEntry[] = [];
  for await (const entries of log.follow(from, new AbortController().signal)) {
    taken.push(...entries);
    if (taken.length >= count) break;
  }
  return taken;
}

/** Appends commands, all at once; returns their indices. */
export async function fill(log: SharedLog, count: number, name = "x"): Promise<bigint[]> {
  const proposed = Array.from({ length: count }, (_, i) => log.propose({ data: bytes(`${name}${i}`) }));
  return (await Promise.all(proposed)).map(({ index }) => index);
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(entry: LogEntry): string {
  return new TextDecoder().decode(entry.data);
}

/** Which members the bucket of a log has, and up to where they need nothing. */
export async function known({ connection }: OpenLog): Promise<Record<string, string>> {
  const bucket = await new Kvm(connection).open(`${STREAM}-members`);
  const all: Record<string, string> = {};
  for await (const name of await bucket.keys()) {
    all[name] = (await bucket.get(name))!.json<{ safeIndex: string }>().safeIndex;
  }
  return all;
}
