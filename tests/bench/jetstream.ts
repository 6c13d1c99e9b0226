// A log over JetStream: how fast three replicas apply it, and how a new one catches up. With one server on loopback.

import type { NatsConnection } from "@nats-io/nats-core";
import {
  KeyValueMachine,
  Replica,
  type ReplicaOptions,
  type SharedLog,
  snapshotHandler,
  utf8Codec,
} from "../../mod.ts";
import { JetStreamLog } from "../../src/jetstream.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { type NatsServer, withNats } from "../support/nats.ts";
import { report, seconds } from "./report.ts";

type Machine = KeyValueMachine<string>;

/** Commands for the three, all in all. */
const COMMANDS = 150_000;
/** Commands on their way from one of them. */
const AT_ONCE = 512;
const REPLAYED = 1_000_000;
const KEYS = 100_000;

interface Opened {
  readonly connection: NatsConnection;
  readonly replica: Replica<Machine>;
  readonly storage: DirectoryStorage;
}

async function open(
  server: NatsServer,
  member: string,
  directory: string,
  options: Partial<ReplicaOptions<Machine>> = {},
): Promise<Opened> {
  const connection = await server.connect();
  const log = await JetStreamLog.open(connection, { stream: "bench", member });
  const storage = await DirectoryStorage.open(directory, { retain: 1 });
  const machine = new KeyValueMachine(utf8Codec());
  const triggers = { interval: 0, entries: 0 };
  const replica = await Replica.open({ machine, log, storage, triggers, purge: { gap: 1 }, ...options });
  return { connection, replica, storage };
}

async function close({ connection, replica }: Opened): Promise<void> {
  await replica.close();
  await connection.close();
}

/** Does something so often, so many at a time. */
async function many(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await work(next++);
  }));
}

/** A value as long as what a small record has. */
function value(i: number): string {
  return `value ${i} `.padEnd(64, "x");
}

/** Commands per second that three replicas in this process propose and apply, each of them all. */
export async function applyOnThree(): Promise<void> {
  await withNats(async (server, directory) => {
    const names = ["a", "b", "c"];
    const replicas = await Promise.all(names.map((name) => open(server, name, `${directory}/${name}`)));
    const duration = await seconds(async () => {
      await Promise.all(
        replicas.map(({ replica }, r) =>
          many(COMMANDS / 3, (i) => replica.propose(replica.machine.put(`${r}/${i % KEYS}`, value(i))))
        ),
      );
      await Promise.all(replicas.map(({ replica }) => replica.reconfigure({ peers: names }))); // after all others
    });
    report("jetstream", "commands applied by each of three replicas", COMMANDS / duration, "1/s");
    for (const opened of replicas) await close(opened);
  });
}

/** How long a new replica takes, from a snapshot of a peer and by replaying the log, for 10^6 commands on 10^5 keys. */
export async function catchUp(): Promise<void> {
  await withNats(async (server, directory) => {
    const writer = await server.connect();
    const log: SharedLog = await JetStreamLog.open(writer, { stream: "bench", member: "old" });
    const machine = new KeyValueMachine(utf8Codec());
    const filled = await seconds(() =>
      many(REPLAYED, (i) => log.propose({ data: machine.put(`key ${i % KEYS}`, value(i)) }))
    );
    report("jetstream", "commands acknowledged to one proposer", REPLAYED / filled, "1/s");
    await log.close();
    await writer.close();

    let old!: Opened;
    const replayed = await seconds(async () => old = await open(server, "old", `${directory}/old`));
    report("jetstream", "a new replica replays 10^6 commands", replayed, "s");
    await old.replica.snapshot().result; // and purges what is before it: nobody else needs it
    const handler = snapshotHandler(old.storage, { allowWrites: true, target: old.replica });
    const peer = await serve(handler, { port: 0 });
    let fresh!: Opened;
    const installed = await seconds(async () =>
      fresh = await open(server, "new", `${directory}/new`, { onNotification: () => ({ sources: [peer.url] }) })
    );
    report("jetstream", "a new replica installs a peer's snapshot", installed, "s");
    report("jetstream", "replay / snapshot", replayed / installed, "ratio", { atLeast: 10 });
    if (fresh.replica.machine.size !== KEYS) throw new Error(`${fresh.replica.machine.size} keys`);
    if (fresh.replica.status().appliedIndex !== BigInt(REPLAYED)) throw new Error("it is not there yet");
    await close(fresh);
    await close(old);
    await peer.close();
    await handler.close();
  });
}

if (import.meta.main) {
  await applyOnThree();
  await catchUp();
}
