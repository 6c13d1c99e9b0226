/**
 * Suites by which other storages, buckets, logs and disks can prove themselves. A suite is a list of cases, to be given to
 * any test runner.
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { storageConformance } from "@snapstream/snapstream/testing";
 *
 * const suite = storageConformance(() => Promise.resolve({ storage: new MemoryStorage(), cleanUp: async () => {} }));
 * for (const { name, run } of suite) Deno.test(name, run);
 * ```
 *
 * @module
 */

export * from "./testing/mod.ts";
