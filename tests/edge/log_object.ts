// A Durable Object that holds its log against the contract.

import { DurableObjectLog } from "../../src/durable_object.ts";
import { logConformance } from "../../src/testing/log.ts";
import { checkLog } from "../support/log_model.ts";
import { logCases } from "./log_cases.ts";
import { type ObjectState, runCase } from "./inside.ts";

export class LogUnderTest {
  readonly #state: ObjectState;

  constructor(state: ObjectState) {
    this.#state = state;
  }

  /** `/log/{name}/{suite}/{number}` */
  async fetch(request: Request): Promise<Response> {
    const { storage } = this.#state;
    const open = () => DurableObjectLog.open(storage);
    const [, , , suite, number] = new URL(request.url).pathname.split("/");
    const make = async () => {
      const log = await open();
      await log.reset(0n, 0n);
      return { log, reopen: open, cleanUp: () => Promise.resolve() };
    };
    const suites = {
      conformance: () => logConformance(make),
      model: () => [{ name: "any sequence of calls", run: () => checkLog(make, 100) }],
      more: () => logCases(make, storage),
    };
    return await runCase(suites[suite as keyof typeof suites](), Number(number));
  }
}
