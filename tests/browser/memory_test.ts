// A snapshot that is much larger than what a page may hold in memory.

import { assert, test } from "../support/harness.ts";
import { Tab, type Where } from "./tab.ts";
import { inWorld, saveNoise, startSource } from "./world.ts";

const MIB = 1024 * 1024;
const SIZE = 320 * MIB;
/** What a page may have more than when it had done nothing; with much that the browser keeps to use again. */
const MAX_GROWTH = 256 * MIB;

for (const where of ["page", "worker"] satisfies Where[]) {
  test(`320 MiB are pulled, verified and saved in bounded memory: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const source = await startSource();
      try {
        await saveNoise(source.storage, 1n, SIZE);
        const tab = await Tab.open(browser, site, where);
        await tab.call("open", "snapshots");
        await tab.call("collectOften");
        const before = await browser.memory();
        let most = 0;
        let watching = true;
        const watched = (async () => {
          while (watching) most = Math.max(most, await browser.memory());
        })();
        const { fetched, reused } = await tab.call("pull", source.url);
        assert.equal(fetched + reused, SIZE);
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: SIZE });
        await tab.call("save", 2, SIZE);
        watching = false;
        await watched;
        console.log(
          `  ${where}: at most ${Math.round((most - before) / MIB)} MiB more than ${Math.round(before / MIB)} MiB`,
        );
        assert.isBelow(most - before, MAX_GROWTH);
      } finally {
        await source.close();
      }
    }));
}
