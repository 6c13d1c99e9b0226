// The short form of a target, as a test.

import { assert } from "../support/harness.ts";
import { fuzz } from "./run.ts";
import type { Target } from "./target.ts";

/** Runs the share of a target of so many cases; fails at a finding, and if hardly anything gets deep. */
export async function checkTarget(target: Target, cases: number): Promise<void> {
  const count = Math.max(Math.ceil(cases * target.share / 1000), 20);
  const { accepted, findings } = await fuzz(target, { seed: 1, from: 0, count });
  assert.isEmpty(findings.map(({ command, message }) => `${command}\n${message}`).join("\n\n"));
  assert.isAbove(accepted, 0);
}
