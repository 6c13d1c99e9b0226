// What a storage in OPFS says to whom else there is: other tabs, a quota, bytes that changed.

import { assert, test } from "../support/harness.ts";
import { Tab, type Where } from "./tab.ts";
import { inWorld, saveNoise, startSource } from "./world.ts";

const MIB = 1024 * 1024;

for (const where of ["page", "worker"] satisfies Where[]) {
  test(`two tabs: the second is told, and has the storage once the first is closed: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const first = await Tab.open(browser, site, where);
      await first.call("open", "app/snapshots");
      await first.call("save", 1, 1000);
      const second = await Tab.open(browser, site, where);
      const { message } = await second.fails("BUSY", "open", "app/snapshots");
      assert.include(message, "app/snapshots is locked: another tab or worker");
      assert.equal((await second.call("open", "other")).indices, "");
      await second.call("close");
      await first.page.close();
      await second.call("free", "app/snapshots");
      assert.equal((await second.call("open", "app/snapshots")).indices, "1");
    }));

  test(`a full quota costs the new snapshot only: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const tab = await Tab.open(browser, site, where);
      const devTools = await browser.devTools(tab.page);
      const quota = (size?: number) =>
        devTools.send("Storage.overrideQuotaForOrigin", {
          origin: site.url,
          ...(size !== undefined && { quotaSize: size }),
        });
      const source = await startSource();
      try {
        await saveNoise(source.storage, 9n, 16 * MIB);
        await tab.call("open", "snapshots");
        await tab.call("save", 1, 5 * MIB);
        await quota(12 * MIB);
        const error = await tab.fails("NO_SPACE", "save", 2, 16 * MIB);
        assert.include(error.message, "quota");
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: 5 * MIB });
        await tab.call("save", 3, MIB);
        await tab.fails("NO_SPACE", "pull", source.url);
        assert.equal(await tab.call("list"), "3,1");
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: MIB });
        await quota();
        const { fetched, reused } = await tab.call("pull", source.url);
        assert.isAbove(reused, 0);
        assert.equal(fetched + reused, 16 * MIB);
        assert.equal(await tab.call("list"), "9,3");
        assert.deepEqual(await tab.call("verify"), { ok: true, bytes: 16 * MIB });
        assert.deepEqual(await tab.call("count", "snapshots"), { places: 2, data: 2 });
      } finally {
        await source.close();
      }
    }));

  test(`a byte that changed is found, the snapshot put aside, and the one before it used: in a ${where}`, () =>
    inWorld(async ({ browser, site }) => {
      const tab = await Tab.open(browser, site, where);
      await tab.call("open", "snapshots");
      await tab.call("save", 1, 3 * MIB);
      await tab.call("save", 2, 3 * MIB);
      await tab.call("flip", "snapshots", 2, 1_234_567);
      assert.deepEqual(await tab.call("verify"), { ok: false, bytes: 3 * MIB - 256 * 1024 });
      assert.equal(await tab.call("list"), "1");
      assert.deepEqual(await tab.call("verify"), { ok: true, bytes: 3 * MIB });
      await tab.call("close");
      assert.deepEqual(await tab.call("content", "snapshots"), [
        ["corrupt-2", "file", "snapshot_00000000000000000002"],
        ["file", "snapshot_00000000000000000001"],
      ]);
      assert.deepEqual(await tab.call("open", "snapshots"), { indices: "1", damaged: 0 });
      await tab.call("save", 2, MIB);
      assert.equal(await tab.call("list"), "2,1");
    }));
}

test("what a page wrote a worker reads, and the other way round", () =>
  inWorld(async ({ browser, site }) => {
    const page = await Tab.open(browser, site, "page");
    const worker = await Tab.open(browser, site, "worker");
    let expected = "";
    for (const [index, tab] of [page, worker, page, worker].entries()) {
      assert.equal((await tab.call("open", "snapshots")).indices, expected);
      if (expected !== "") assert.deepEqual(await tab.call("verify"), { ok: true, bytes: 5 * MIB });
      await tab.call("save", index + 1, 5 * MIB);
      expected = await tab.call("list");
      await tab.call("close");
    }
    assert.equal(expected, "4,3");
  }));
