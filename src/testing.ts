/**
 * Conformance suites for other storages, buckets, logs and disks. A suite is a list of cases for any test runner.
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { storageConformance } from "@snapstream/snapstream/testing";
 *
 * const suite = storageConformance(() => Promise.resolve({ storage: new MemoryStorage(), cleanUp: async () => {} }));
 * // In a file of tests: for (const { name, run } of suite) Deno.test(name, run); or with any other runner.
 * for (const { run } of suite) await run();
 * ```
 *
 * @module
 */

export * from "./testing/mod.ts";
