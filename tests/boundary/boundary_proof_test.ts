import { slots } from "../fuzz/targets/boundary.ts";
import { assert, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import { give, isRight } from "./check.ts";
import { KINDS, valueOf } from "./values.ts";
import { fingerprint, makeWorld } from "./world.ts";

/** Of the kinds, each parameter gets one in so many, and the next one others: `deno task fuzz` gives it all. */
const EVERY = 3;

test("boundary: each parameter refuses a value of every kind that is not for it, and nothing changes", async () => {
  const wrong: string[] = [];
  let world = await makeWorld();
  let cases = 0;
  for (const [number, slot] of slots.entries()) {
    const before = await fingerprint(world);
    for (let kind = number % EVERY; kind < KINDS; kind += EVERY) {
      const value = valueOf(kind, new Random(number * KINDS + kind));
      if (isRight(slot, value)) continue;
      const outcome = await give(slot, world, value);
      if (outcome.wrong !== undefined) wrong.push(outcome.wrong);
      cases++;
    }
    if (await fingerprint(world) === before) continue;
    wrong.push(`${slot.of}, ${slot.name}: something has changed`);
    await world.close().catch(() => {});
    world = await makeWorld();
  }
  await world.close();
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
  assert.isAbove(cases, 30_000 / EVERY);
});
