// The worker that the tests drive, as one module.

import { bundle, ROOT } from "../suites/program.ts";

/** Makes the worker; `tests/support/miniflare.ts` starts it. */
export function bundleWorker(): Promise<string> {
  return bundle("edge_worker", "browser", [
    `export * from "${ROOT}tests/edge/worker.ts";`,
    `export { default } from "${ROOT}tests/edge/worker.ts";`,
  ]);
}
