// What everything has in common that runs inside of workerd.

import type { ConformanceCase } from "../../src/testing/check.ts";
import type { DurableObjectState } from "../examples/room_platform.ts";

/** What the platform gives an object. */
export interface ObjectState extends DurableObjectState {
  abort(reason?: string): void;
}

/** Runs a case of a suite: `204`, or what went wrong. */
export async function runCase(cases: readonly ConformanceCase[], number: number): Promise<Response> {
  try {
    await cases[number]!.run();
    return new Response(null, { status: 204 });
  } catch (error) {
    return new Response(error instanceof Error ? error.stack ?? error.message : String(error), { status: 500 });
  }
}
