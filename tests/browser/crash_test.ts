// The browser is killed, all of it at once.

import { assert, test } from "../support/harness.ts";
import { Tab, type Where } from "./tab.ts";
import { inWorld, saveNoise, startSource } from "./world.ts";

const MIB = 1024 * 1024;
/** How often it is killed while it saves; each time at another moment. */
const KILLS = 4;

for (const where of ["page", "worker"] satisfies Where[]) {
  test(`the browser is killed in the middle of saves: what was committed is there: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      let committed = 0;
      for (let round = 1; round <= KILLS; round++) {
        const tab = await Tab.open(browser, site, where);
        const { indices, damaged } = await tab.call("open", "snapshots");
        const newest = Number(indices.split(",")[0]);
        assert.equal(damaged, 0);
        // If the browser removed all data of the origin, a stranger's directory went as well: that is no matter of ours.
        if (round > 1 && newest === 0 && !await tab.call("marked")) {
          console.log(`The browser that was killed removed all data of the origin, in round ${round}`);
          committed = 0;
        }
        await tab.call("mark");
        // One may have been committed, and the page killed before it said so.
        assert.include([committed, committed + 1], newest);
        if (newest > 0) assert.deepEqual(await tab.call("verify"), { ok: true, bytes: 5 * MIB });
        // What it had not come to removing goes with the next commit.
        const kept = newest === 0 ? 0 : indices.split(",").length;
        assert.isAtMost(kept, 3);
        assert.deepEqual(await tab.call("count", "snapshots"), { places: kept, data: kept });
        let left = 2;
        const saved = new Promise<void>((resolve) =>
          tab.page.on("console", (message) => {
            const [, index] = /^committed (\d+)$/.exec(message.text()) ?? [];
            if (index === undefined) return;
            committed = Number(index);
            if (--left === 0) resolve();
          })
        );
        committed = newest;
        const ended = tab.call("saveForEver", newest + 1, 5 * MIB).catch(() => {});
        await saved;
        await new Promise((resolve) => setTimeout(resolve, round * 23)); // into the next save
        await browser.kill();
        await ended;
        await browser.start();
      }
    }));

  test(`the browser is killed in the middle of an install, which goes on where it was: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const size = 48 * MIB;
      const source = await startSource(24 * MIB);
      try {
        await saveNoise(source.storage, 5n, size);
        let tab = await Tab.open(browser, site, where);
        await tab.call("open", "snapshots");
        await tab.call("save", 1, MIB);
        const before = await tab.call("pullUntil", source.url, size / 2);
        await browser.kill();
        await browser.start();
        tab = await Tab.open(browser, site, where);
        assert.deepEqual(await tab.call("open", "snapshots"), { indices: "1", damaged: 0 });
        const { fetched, reused } = await tab.call("pull", source.url);
        assert.isAtLeast(reused, before - 3 * 2 * MIB);
        assert.equal(fetched + reused, size);
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: size });
        assert.equal(await tab.call("list"), "5,1");
        assert.deepEqual(await tab.call("count", "snapshots"), { places: 2, data: 2 });
      } finally {
        await source.close();
      }
    }));
}
