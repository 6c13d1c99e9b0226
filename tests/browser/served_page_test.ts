// The page of a server: what it shows, by mouse and keyboard, light, dark and on a phone; and that it asks nobody else.
// With SCREENSHOTS=DIR it leaves pictures there.

import { readFile, writeFile } from "node:fs/promises";
import axe from "axe-core";
import { snapshotHandler, Throttle } from "../../mod.ts";
import { page as servedPage } from "../../src/page.ts";
import { DirectoryStorage } from "../../src/storage/directory/mod.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import { assert, noise, pieces, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import type { Page } from "./chromium.ts";
import { inWorld } from "./world.ts";

const PART = 262_144;

/** Adds a snapshot; parts of one number are the same bytes. */
async function save(storage: DirectoryStorage, index: bigint, parts: readonly number[]): Promise<void> {
  const writer = await storage.create();
  const bytes = new Uint8Array(parts.length * PART);
  parts.forEach((seed, i) => bytes.set(noise(PART, seed), i * PART));
  await pieces(bytes).pipeTo(writer.file("state/a b&c"));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 2n, peers: [] });
}

interface Served {
  readonly url: string;
  readonly root: string;
  readonly storage: DirectoryStorage;
  readonly server: Server;
  readonly page: Page;
  /** What the page complained of, and what it asked of others. */
  readonly wrong: string[];
}

/** Serves a directory with two snapshots, of which three quarters are shared, and opens its page. */
function withPage(
  work: (served: Served) => Promise<void>,
  { throttle, retain = 2 }: { readonly throttle?: Throttle; readonly retain?: number } = {},
): Promise<void> {
  return inWorld(({ browser }) =>
    inTemp(async (root) => {
      const storage = await DirectoryStorage.open(root, { retain });
      await save(storage, 1000n, [1, 2, 3, 4]);
      await save(storage, 2000n, [1, 2, 3, 5]);
      const metrics = { recentSaves: [{ index: 2000n, syncDuration: 200, asyncDuration: 1034 }] };
      const status = () => ({
        state: "idle",
        appliedIndex: 2010n,
        lastIndex: 2012n,
        firstIndex: 1n,
        logBytes: 5000,
        metrics,
      });
      const target = {
        snapshot: () => Promise.resolve({ taken: false }),
        install: () => Promise.reject(new Error("not here")),
        status,
      };
      const handler = snapshotHandler(storage, { page: servedPage, target, ...(throttle && { throttle }) });
      const server = await serve(handler, { port: 0 });
      const page = await browser.page();
      const wrong: string[] = [];
      page.on("console", (message) => wrong.push(message.text()));
      page.on("pageerror", (error) => wrong.push(error.message));
      page.on("request", (request) => {
        if (!request.url().startsWith(`${server.url}/`)) wrong.push(`it asks ${request.url()}`);
      });
      try {
        await page.goto(server.url);
        await until(page, `document.querySelector("canvas.map") !== null && document.querySelector(".u-wrap")`);
        await work({ url: server.url, root, storage, server, page, wrong });
      } finally {
        await page.close();
        await server.close();
        await handler.close();
        await storage.close();
      }
    })
  );
}

/** Waits until something is so. (playwright's own waiting evaluates text later on, which the page's policy forbids.) */
async function until(page: Page, condition: string): Promise<void> {
  for (;;) {
    if (await page.evaluate<boolean>(`Boolean(${condition})`)) return;
    await page.evaluate(`new Promise((resolve) => requestAnimationFrame(() => resolve(true)))`);
  }
}

const textOf = (page: Page, selector: string) =>
  page.evaluate<string>(`document.querySelector(${JSON.stringify(selector)}).innerText`);

/** Verifies what is shown, and waits for the verdict. */
async function verdict(page: Page): Promise<string> {
  await page.evaluate(`[...document.querySelectorAll("button")].find((it) => /^Verify/.test(it.innerText)).click()`);
  await until(page, `document.querySelector("p .good, p .bad") !== null`);
  return await textOf(page, "p .good, p .bad");
}

test("page: what is there, what is shared, and verifying it; nobody else is asked", () =>
  withPage(async ({ page, wrong }) => {
    assert.match(await textOf(page, "#snapshots ~ .scroll"), /2.000\s+1.00 MiB[^]*1.000\s+1.00 MiB/);
    assert.strictEqual(await textOf(page, ".legend"), "3 also in the one before\n1 new");
    assert.match(await textOf(page, ".facts"), /Entries not yet applied\s+2/);
    const label = await page.evaluate<string>(`document.querySelector(".plot").getAttribute("aria-label")`);
    assert.match(label, /newest has index 2000, .*; saving it took 1234 ms$/);
    assert.match(await textOf(page, ".u-legend"), /Saving took/);
    assert.match(await verdict(page), /^Good: all 1.00 MiB/);
    assert.strictEqual(await textOf(page, ".legend"), "4 verified here");
    const link = `document.querySelector("th.name a")`;
    assert.strictEqual(await page.evaluate(`${link}.innerText`), "state/a b&c");
    assert.strictEqual(
      await page.evaluate(`fetch(${link}.href).then(async (it) => (await it.bytes()).length)`),
      4 * PART,
    );
    assert.deepEqual(wrong, []);
  }));

test("page: names are shown as they are, many snapshots leave room for the rest, and who is away is said to be", () =>
  withPage(async ({ page, storage, server, wrong }) => {
    const name = "a<b>\u202egnp.exe";
    for (let index = 2001n; index <= 2040n; index++) {
      const writer = await storage.create();
      await pieces(noise(10, Number(index))).pipeTo(writer.file(name));
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 2n, peers: [] });
    }
    await page.evaluate(`document.dispatchEvent(new Event("visibilitychange"))`);
    await until(page, `document.querySelector("#snapshot").innerText === "Snapshot 2040"`);
    await until(page, `document.querySelector("th.name") !== null`);
    assert.strictEqual(await textOf(page, "th.name"), "a<b>\\u202egnp.exe");
    assert.strictEqual(await page.evaluate(`document.querySelectorAll("tbody button").length`), 42);
    assert.isAtMost(await page.evaluate<number>(`document.querySelector(".list").clientHeight`), 500);
    assert.deepEqual(wrong, []);
    await server.close();
    await page.evaluate(`document.dispatchEvent(new Event("visibilitychange"))`);
    await until(page, `document.querySelector("[role=status]").innerText.startsWith("The server cannot be reached")`);
  }, { retain: 100 }));

test("page: a chunk that is damaged on the server's disk is shown", () =>
  withPage(async ({ page, root }) => {
    const path = `${root}/snapshot_00000000000000002000/state/a b&c`;
    const bytes = await readFile(path);
    bytes[2 * PART + 5]! ^= 1;
    await writeFile(path, bytes);
    assert.match(await verdict(page), /1 chunks are damaged|does not have this snapshot/);
  }));

test("page: a content that is being sent is seen, with its rate", () =>
  withPage(async ({ page, url }) => {
    const download = await fetch(`${url}/snapshots/1000/content`);
    const reader = download.body!.getReader();
    await reader.read();
    await page.evaluate(`document.dispatchEvent(new Event("visibilitychange"))`); // asks at once
    await until(page, `/Sending .*content: .* of 1.00 MiB, .*\\/s/.test(document.body.innerText)`);
    await reader.cancel();
  }, { throttle: new Throttle(100_000) }));

test("page: another snapshot is chosen by keyboard, and every control can be reached", () =>
  withPage(async ({ page }) => {
    const reached: string[] = [];
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate<string>(`document.activeElement.innerText`);
      if (reached.includes(at)) break;
      reached.push(at.split("\n")[0]!);
      if (!/^1.000$/.test(at)) continue;
      await page.keyboard.press("Enter");
      // What is left to be reached is there once its manifest has come.
      await until(page, `document.querySelector("#snapshot").innerText === "Snapshot 1000"`);
      await until(page, `document.querySelector("th.name") !== null`);
    }
    for (const control of [/^To the content/, /^Pause/, /^2.000$/, /^1.000$/, /^Verify/, /^Download/, /^state/]) {
      assert.isTrue(reached.some((one) => control.test(one)), `${control} in ${reached}`);
    }
  }));

for (
  const [name, colorScheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], [
    "phone",
    "light",
    390,
  ]] as const
) {
  test(`page: no barrier is found by axe-core, and nothing is cut off: ${name}`, () =>
    withPage(async ({ page, wrong }) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await verdict(page);
      const { SCREENSHOTS } = process.env;
      if (SCREENSHOTS !== undefined) {
        await page.screenshot({ path: `${SCREENSHOTS}/page-${name}.png`, fullPage: true });
      }
      assert.isAtMost(await page.evaluate<number>(`document.documentElement.scrollWidth`), width);
      await page.evaluate(axe.source);
      const found = await page.evaluate<string[]>(
        `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + " " + nodes[0].html))`,
      );
      assert.deepEqual(found, []);
      assert.deepEqual(wrong, []);
    }));
}
