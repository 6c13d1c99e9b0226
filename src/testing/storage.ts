/**
 * The conformance suite of storages.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import type { ConformanceCase } from "./check.ts";
import { groupCases } from "./storage_group.ts";
import { installCases } from "./storage_install.ts";
import { quarantineCases } from "./storage_quarantine.ts";
import { saveCases } from "./storage_save.ts";
import type { AddCase, StorageUnderTest } from "./storage_kit.ts";

/**
 * The suite for storages.
 *
 * @param make makes an empty storage that keeps two snapshots
 */
export function storageConformance(make: () => Promise<StorageUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  const add: AddCase = (name, body) =>
    cases.push({
      name,
      async run() {
        const target = await make();
        const { storage, cleanUp } = target;
        try {
          await body(storage, target);
        } finally {
          await storage.close();
          await cleanUp();
        }
      },
    });
  saveCases(add, make);
  installCases(add, make);
  quarantineCases(add);
  groupCases(add, make);
  return cases;
}
