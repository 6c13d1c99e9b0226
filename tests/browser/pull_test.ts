// Pulling into OPFS from a real server, and living on what was pulled.

import { assert, test } from "../support/harness.ts";
import { Tab, type Where } from "./tab.ts";
import { inWorld, saveMachine, saveNoise, startSource } from "./world.ts";

const MIB = 1024 * 1024;

for (const where of ["page", "worker"] satisfies Where[]) {
  test(`a snapshot is pulled, verified, restored after a reload, and when offline: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const source = await startSource();
      try {
        await saveMachine(source.storage, 7n, 50_000);
        const tab = await Tab.open(browser, site, where);
        await tab.call("open", "snapshots");
        const pulled = await tab.call("pull", source.url);
        assert.equal(pulled.index, "7");
        assert.equal(pulled.reused, 0);
        assert.isAbove(pulled.steps, 1);
        assert.equal((await tab.call("verify")).ok, true);
        const again = await tab.call("pull", source.url); // up to date
        assert.deepEqual([again.index, again.fetched], ["7", 0]);
        await tab.reload("snapshots");
        assert.deepEqual(await tab.call("open", "snapshots"), { indices: "7", damaged: 0 });
        assert.deepEqual(await tab.call("restore", "49999"), { index: "7", size: 50_000, value: 49_999 });
        await tab.call("close");
        await browser.setOffline(true);
        await tab.call("open", "snapshots");
        assert.deepEqual(await tab.call("restore", "1"), { index: "7", size: 50_000, value: 1 });
        await tab.fails("UNAVAILABLE", "pull", source.url);
        assert.deepEqual(await tab.call("restore", "1"), { index: "7", size: 50_000, value: 1 });
      } finally {
        await source.close();
      }
    }));

  test(`a pull that a reload interrupts goes on where it was: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const size = 48 * MIB;
      const source = await startSource(24 * MIB);
      try {
        await saveNoise(source.storage, 1n, size);
        const tab = await Tab.open(browser, site, where);
        await tab.call("open", "snapshots");
        const before = await tab.call("pullUntil", source.url, size / 2);
        await tab.reload("snapshots");
        const sent = source.sent();
        assert.deepEqual(await tab.call("open", "snapshots"), { indices: "", damaged: 0 });
        const { fetched, reused } = await tab.call("pull", source.url);
        // Of three requests, what had not filled a segment is lost with the page's memory.
        assert.isAtLeast(reused, before - 3 * 2 * MIB);
        assert.equal(fetched + reused, size);
        assert.isBelow(source.sent() - sent, size * 0.75); // with what was still under way to the page before
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: size });
        assert.deepEqual(await tab.call("count", "snapshots"), { places: 1, data: 1 });
      } finally {
        await source.close();
      }
    }));
}
