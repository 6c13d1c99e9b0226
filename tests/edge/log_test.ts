import type { DurableObjectLog, DurableStorage } from "../../src/durable_object.ts";
import { logConformance } from "../../src/testing/log.ts";
import { test } from "../support/harness.ts";
import { logCases } from "./log_cases.ts";
import { ask, theWorker } from "../support/miniflare.ts";

/** The cases are known here; they run in an object of their own each. */
const none = () => Promise.reject(new Error("Not here"));
const suites = {
  conformance: logConformance(none),
  model: [{ name: "a model of it" }],
  more: logCases(none as () => Promise<{ log: DurableObjectLog }>, {} as DurableStorage),
};

for (const [suite, cases] of Object.entries(suites)) {
  for (const [number, { name }] of cases.entries()) {
    test(`DurableObjectLog: ${name}`, async () => {
      await ask(`${(await theWorker()).url}/log/${suite}-${number}/${suite}/${number}`);
    });
  }
}
