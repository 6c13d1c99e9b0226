// A leaderboard that a Deno, a Node and a Bun process replicate over NATS JetStream: this one program in all three.
//
//   leaderboard.ts <server> <member> <directory> <port> <url of a peer> …
//
// It reads what to do from its input, a line each, and prints what came of it:
//   play <count>     adds points, many at once; "played <count>" as they are acknowledged
//   snapshot         takes one; "snapshot <index>"
//   digest           when it has applied all that was acknowledged until now; "digest <of the whole state> <points> …", the
//                    points that each member named has made
//   end

import { connect } from "@nats-io/transport-node";
import process from "node:process";
import { createInterface } from "node:readline";
import {
  jsonCodec,
  KeyedState,
  type LogEntry,
  Replica,
  type SaveTask,
  snapshotHandler,
  type SnapshotReader,
  type StateMachine,
  stringKeys,
  type ValueState,
} from "../../mod.ts";
import { JetStreamLog } from "../../src/jetstream.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { toHex } from "../../src/stream/mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";

/** Players and their points. A command adds some: to apply one twice, or not at all, would show. */
class Leaderboard implements StateMachine {
  readonly #state: KeyedState<string> = new KeyedState({ keys: stringKeys() });
  readonly #points: ValueState<string, number> = this.#state.value("points", jsonCodec<number>());

  add(player: string, points: number): Uint8Array {
    return new TextEncoder().encode(JSON.stringify([player, points]));
  }

  apply({ data }: LogEntry): void {
    const [player, points] = JSON.parse(new TextDecoder().decode(data)) as [string, number];
    this.#points.set(player, (this.#points.get(player) ?? 0) + points);
  }

  save(): SaveTask | undefined {
    return this.#state.save();
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.#state.load(reader);
  }

  /** All points of the players of a member. */
  total(member: string): number {
    let total = 0;
    for (const [player, points] of this.#points.entries()) if (player.startsWith(`${member}/`)) total += points;
    return total;
  }

  async digest(): Promise<string> {
    const text = JSON.stringify([...this.#points.entries()]); // in the same order on every replica
    return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
  }
}

const [server, member, directory, port, ...peers] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  ...string[],
];
const machine = new Leaderboard();
const connection = await connect({ servers: server, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
const log = await JetStreamLog.open(connection, { stream: "leaderboard", member });
const storage = await DirectoryStorage.open(directory, { retain: 1 });
const replica = await Replica.open({
  machine,
  log,
  storage,
  purge: { gap: 1 },
  onNotification: () => ({ sources: peers }), // what comes next was purged: there is a snapshot at one of them
});
const handler = snapshotHandler(storage, { target: replica });
const http = await serve(handler, { port: Number(port) });
const { appliedIndex, snapshot } = replica.status();
console.log(`ready ${appliedIndex} ${snapshot?.meta.lastIncludedIndex ?? 0}`);

/** Proposes so many, sixteen at once. */
async function play(count: number): Promise<void> {
  let begun = 0;
  let played = 0;
  await Promise.all(Array.from({ length: 16 }, async (_, lane) => {
    while (begun < count) {
      begun++;
      await replica.propose(machine.add(`${member}/${lane}-${begun % 100}`, 1));
      if (++played % 100 === 0) console.log(`played ${played}`);
    }
  }));
  console.log(`played all ${count}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...args] = line.split(" ");
  if (what === "play") {
    void play(Number(args[0])); // and goes on reading
  } else if (what === "snapshot") {
    const { snapshot } = await replica.snapshot().result;
    await replica.purge();
    console.log(`snapshot ${snapshot!.meta.lastIncludedIndex}`);
  } else if (what === "digest") {
    await replica.reconfigure({ peers: [] }); // an entry that changes nothing, after all others
    console.log(`digest ${await machine.digest()} ${args.map((name) => machine.total(name)).join(" ")}`);
  } else if (what === "end") {
    break;
  }
}
await replica.close();
await http.close();
await handler.close();
await connection.close();
