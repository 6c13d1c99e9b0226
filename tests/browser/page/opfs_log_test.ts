// The log in OPFS, in a dedicated worker; a page cannot sync what it writes.

import { OpfsLog } from "../../../src/opfs.ts";
import { logConformance } from "../../../src/testing/mod.ts";
import { assert, rejects, test, testAll } from "../../support/harness.ts";
import { freshDirectory, removeDirectory } from "./kit.ts";

if ("document" in globalThis) {
  test("OpfsLog: in a page it is refused, since nothing could be synced", async () => {
    const directory = freshDirectory();
    const error = await rejects(OpfsLog.open(directory), "UNSUPPORTED");
    assert.match(error.message, /dedicated worker/);
    await rejects(OpfsLog.open(directory), "UNSUPPORTED"); // and not BUSY
    await removeDirectory(directory);
  });
} else {
  testAll(
    "OpfsLog",
    logConformance(async () => {
      const directory = freshDirectory();
      let log = await OpfsLog.open(directory);
      return {
        log,
        async reopen() {
          await log.close();
          return log = await OpfsLog.open(directory);
        },
        cleanUp: () => removeDirectory(directory),
      };
    }),
  );
}
