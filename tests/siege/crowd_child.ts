// A crowd of strangers, as a process of its own: `crowd_child.ts SEED STRANGERS PORT…`. A line of input is what they have
// got hold of, and some go and others come, or `null`, and all go; a line of output then has the kinds that came.

import process from "node:process";
import { createInterface } from "node:readline";
import { Random } from "../support/random.ts";
import { Stranger } from "./strangers.ts";
import { readLoot } from "./loot.ts";

const [seed, count, ...ports] = process.argv.slice(2).map(Number) as [number, number, ...number[]];
const random = new Random(seed);
const strangers: Stranger[] = [];
let next = 0;

for await (const line of createInterface({ input: process.stdin })) {
  const loot = readLoot(line);
  const came: string[] = [];
  for (let i = loot === null ? strangers.length : random.below(count); i > 0 && strangers.length > 0; i--) {
    strangers.splice(random.below(strangers.length), 1)[0]!.leave();
  }
  // All kinds, one after the other, to any of the ports.
  while (loot !== null && strangers.length < count) {
    const kind = Stranger.kinds[next++ % Stranger.kinds.length]!;
    strangers.push(new Stranger(kind, random.pick(ports), loot, random));
    came.push(kind);
  }
  await Promise.all(strangers.map(({ here }) => here));
  console.log(JSON.stringify(came));
}
process.exit(0); // whoever it was for is gone
