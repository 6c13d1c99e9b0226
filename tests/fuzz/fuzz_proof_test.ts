import { assert, test } from "../support/harness.ts";
import { checkTarget } from "./check.ts";
import { edgeTargets } from "./edge.ts";
import { randomOf } from "./run.ts";

for (const target of edgeTargets) {
  test(`fuzz: ${target.name}`, () => checkTarget(target, 3000));
}

test("fuzz: a case is the same each time", () => {
  const draw = (seed: number, target: string, number: number) => {
    const random = randomOf(seed, target, number);
    return Array.from({ length: 5 }, () => random.below(2 ** 32)).join();
  };
  assert.strictEqual(draw(1, "a", 2), draw(1, "a", 2));
  assert.lengthOf(new Set([draw(1, "a", 2), draw(2, "a", 2), draw(1, "b", 2), draw(1, "a", 3)]), 4);
});
