// The example: a page that works from a snapshot, also offline.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { assert, test } from "../support/harness.ts";
import type { Page } from "./chromium.ts";
import { inWorld } from "./world.ts";

/** Starts the example's server; gives its address, and what stops it. */
async function startServer(...args: string[]): Promise<{ url: string; stop(): Promise<void> }> {
  const program = `${process.env.ROOT}tests/examples/offline_page/server.ts`;
  const child = spawn(process.env.DENO!, ["run", "--allow-all", "--quiet", "--lock=.deno.lock", program, ...args], {
    cwd: process.env.ROOT!,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const started = once(child.stdout!, "data");
  const [line] = await Promise.race([started, ended.then(() => Promise.reject(new Error("The server ended")))]);
  return { url: String(line).trim(), stop };
}

/** What the page tells once it has nothing more to do. */
async function told(page: Page): Promise<string> {
  await page.waitForFunction(`document.querySelector("#status").dataset.ready === ""`);
  return await page.evaluate<string>(`document.querySelector("#status").textContent`);
}

/** What the page finds. */
async function find(page: Page, name: string): Promise<string> {
  return await page.evaluate<string>(`{
    const search = document.querySelector("#search");
    search.value = ${JSON.stringify(name)};
    search.dispatchEvent(new Event("input"));
    document.querySelector("#found").innerText.replaceAll("\\n", " ");
  }`);
}

test("example: a page pulls a snapshot, works from it offline, and then fetches what is new", () =>
  inWorld(async ({ browser }) => {
    const page = await browser.page();
    const first = await startServer("0");
    let [here, ulm] = ["", ""];
    try {
      await page.goto(first.url);
      const news = await told(page);
      assert.match(news, /^[\d,]+ cities, snapshot \d+: fetched [\d,]+ bytes, [\d,]+ were here$/);
      here = news.split(":")[0]!;
      ulm = await find(page, "Ulm");
      assert.match(ulm, /^Ulm, DE ?1\d\d,\d\d\d/);
      if (process.env.SCREENSHOT !== undefined) await page.screenshot({ path: process.env.SCREENSHOT });
      await page.evaluate("navigator.serviceWorker.ready.then(() => {})");
    } finally {
      await first.stop();
    }
    await browser.setOffline(true);
    await page.reload();
    assert.equal(await told(page), `${here}: offline`);
    assert.equal(await find(page, "Ulm"), ulm);
    await browser.setOffline(false);
    const second = await startServer(new URL(first.url).port, "changed");
    try {
      await page.reload();
      const news = await told(page);
      const [, fetched, reused] = /snapshot \d+: fetched ([\d,]+) bytes, ([\d,]+) were here$/.exec(news) ?? [];
      assert.isBelow(Number(fetched?.replaceAll(",", "")) * 10, Number(reused?.replaceAll(",", "")), news);
      assert.match(await find(page, "Ulm"), /^Ulm, DE ?130,000/);
    } finally {
      await second.stop();
    }
  }));
