// `deno task crash [--long] [--seed N] [--only TEXT] [--json]`: crashes, faults and damage in everything that a storage and
// a replica do, on a simulated disk; the executor's model; real processes that are killed; a real disk that is full. With
// `--only`, just the parts whose names have that text. Ends with 1 at the first violation.

import { parseArgs } from "node:util";
import { inTemp } from "../support/temp.ts";
import { programPath, withNats } from "../support/nats.ts";
import { jetStreamWorlds, SMALL_MESSAGES } from "./evidence_jetstream.ts";
import { proveStorages } from "./evidence_storages.ts";
import { fillDisk, type FullDisk } from "./full_disk.ts";
import { killAgain } from "./kills.ts";
import { LONG, noCounts, type Part, parts, SHORT } from "./proof.ts";

const { values } = parseArgs({
  options: {
    long: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const KILLS = values.long ? 1000 : 20;
/** A new directory after so many. */
const KILLS_EACH = 50;

const counts = noCounts();
const killed = { kills: 0, acknowledged: 0 };
let fullDisk: FullDisk | "cannot be mounted here" | undefined;

async function* all(): AsyncGenerator<Part> {
  yield* parts(seed, values.long ? LONG : SHORT, counts);
  yield ["kills", async () => {
    for (let i = 0; killed.kills < KILLS; i++) {
      const kills = Math.min(KILLS_EACH, KILLS - killed.kills);
      killed.acknowledged += Number(await inTemp((directory) => killAgain(directory, seed + i, kills)));
      killed.kills += kills;
    }
  }];
  yield ["evidence, in JetStream", async () => {
    if (programPath() === undefined) return; // `deno task test:jetstream` gets a server
    await withNats(async (server) => {
      const connection = await server.connect();
      const { one, two } = (values.long ? LONG : SHORT).seen;
      // A case takes a server thirty times as long as memory.
      await proveStorages(seed, { one, two: two / 10 }, counts.seen, jetStreamWorlds(connection));
      await connection.close();
    }, SMALL_MESSAGES);
  }];
  yield ["a full disk", async () => {
    fullDisk = await inTemp((directory) => Promise.resolve(fillDisk(directory))) ?? "cannot be mounted here";
  }];
}

for await (const [name, run] of all()) {
  if (!name.includes(values.only)) continue;
  const start = performance.now();
  try {
    await run();
  } catch (error) {
    console.error(error);
    const again = `deno task crash${values.long ? " --long" : ""} --seed ${seed} --only ${JSON.stringify(name)}`;
    console.error(`A promise was broken. Again: ${again}`);
    Deno.exit(1);
  }
  if (!values.json) console.log(`${((performance.now() - start) / 1000).toFixed(1)} s  ${name}`);
}
console.log(
  JSON.stringify({ seed, violations: 0, ...counts, kills: killed, fullDisk }, undefined, values.json ? undefined : 2),
);
