import { test } from "../support/harness.ts";
import { checkTarget } from "./check.ts";
import { diskTargets } from "./disk.ts";

for (const target of diskTargets) {
  test(`fuzz: ${target.name}`, () => checkTarget(target, 3000));
}
