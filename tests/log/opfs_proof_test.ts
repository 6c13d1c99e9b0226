// The log in OPFS, which is in memory here; tests/browser has the browser's own.

import { logConformance } from "../../src/testing/mod.ts";
import { OpfsLog } from "../../src/opfs.ts";
import { assert, noise, rejects, test, testAll } from "../support/harness.ts";
import { memoryOpfs, type OpfsHook, type OpfsNode, UNTOUCHED, withOpfs } from "../support/memory_opfs.ts";
import type { LogEntry } from "../../mod.ts";

testAll(
  "OpfsLog",
  logConformance(async () => {
    const root = memoryOpfs(new Map(), UNTOUCHED);
    const open = () => withOpfs(root, () => OpfsLog.open("log"));
    let log = await open();
    return {
      log,
      async reopen() {
        await log.close();
        return log = await open();
      },
      cleanUp: () => Promise.resolve(),
    };
  }),
);
