// The example: a shop's stock is led on Node, and followed at the edge and in a page. Nothing that a follower had is
// lost.

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { jsonCodec, KeyValueMachine } from "../../mod.ts";
import { restoreBackup } from "../../src/backup.ts";
import { DirectoryBucket } from "../../src/fs.ts";
import { assert, test } from "../support/harness.ts";
import { ask, withWorker } from "../support/miniflare.ts";
import { inTemp } from "../support/temp.ts";
import type { StockReplica } from "../examples/stock/worker.ts";
import type { Page } from "./chromium.ts";
import { startLine } from "./line.ts";
import { inWorld } from "./world.ts";

/** Starts the leader; gives its address, and what kills it. */
async function startLeader(directory: string): Promise<{ url: string; kill(): Promise<void> }> {
  const program = new URL("stock_leader.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const [line] = await Promise.race([
    once(child.stdout!, "data"),
    ended.then(() => Promise.reject(new Error("The leader ended"))),
  ]);
  return {
    url: String(line).trim(),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Asks the replica in the page. */
async function inPage<Verb extends keyof StockReplica>(
  page: Page,
  verb: Verb,
  ...args: string[]
): Promise<Awaited<ReturnType<StockReplica[Verb]>>> {
  return await page.evaluate<Awaited<ReturnType<StockReplica[Verb]>>>(
    `stock.ask(${JSON.stringify([verb, ...args]).slice(1, -1)})`,
  );
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i).join();

test("example: a stock led on Node is followed at the edge and in a page, offline and back; the leader is killed", () =>
  inWorld(({ browser, site }) =>
    withWorker((edge) =>
      inTemp(async (directory) => {
        const leader = await startLeader(directory);
        const mirror = `${edge.url}/stock/main`;
        const lines = [await startLine(leader.url), await startLine(mirror)];
        try {
          const sources = lines.map(({ url }) => url);
          const post = async (url: string) => JSON.parse(await ask(url, { method: "POST" })) as string;
          const set = (key: string, value: number) => post(`${leader.url}/set?key=${key}&value=${value}`);
          const atEdge = (key: string, after: string) =>
            ask(`${mirror}/get?key=${key}&leader=${encodeURIComponent(leader.url)}&after=${after}`);
          for (let i = 1; i <= 20; i++) await set(`item${i}`, i);
          await post(`${leader.url}/flush`);
          assert.equal(await post(`${leader.url}/save`), "21"); // whoever comes now installs the snapshot

          const page = await browser.page();
          await page.goto(`${site.url}/page/stock_page`);
          await page.waitForFunction("globalThis.stock !== undefined");
          assert.equal(await inPage(page, "open", ...sources), "0");
          let last = await set("apples", 3);
          await inPage(page, "caughtUp", last);
          assert.deepEqual([await inPage(page, "get", "item20"), await inPage(page, "get", "apples")], [20, 3]);
          assert.equal(await atEdge("apples", last), "3");

          for (const line of lines) line.cut();
          await inPage(page, "disconnected");
          for (let i = 1; i <= 10; i++) last = await set("apples", 100 + i);
          assert.equal(await inPage(page, "get", "apples"), 3, "offline it has what it had");
          await page.evaluate("stock.start()"); // the worker is killed, and begins anew with what is in OPFS
          assert.equal(await inPage(page, "open", ...sources), "21");
          assert.equal(await inPage(page, "get", "apples"), 3);
          for (const line of lines) line.mend();
          await inPage(page, "caughtUp", last);
          const { indices, applied } = await inPage(page, "status");
          assert.equal(await inPage(page, "get", "apples"), 110);
          assert.equal(indices, range(21, 31), "each entry is in its log, once");
          assert.include([10, 11], applied, "each was applied once, and 21 again if no snapshot has it");

          assert.equal(await post(`${leader.url}/flush`), last);
          const acknowledged = await set("pears", 7);
          assert.equal(await atEdge("pears", acknowledged), "7");
          await leader.kill();
          assert.equal(await post(`${mirror}/promote`), "2");
          const plums = JSON.parse(await ask(`${mirror}/set?key=plums&value=9`)) as string;
          await inPage(page, "caughtUp", plums);
          assert.deepEqual([await inPage(page, "get", "pears"), await inPage(page, "get", "plums")], [7, 9]);
          const after = await inPage(page, "status");
          assert.equal(after.indices, range(21, Number(plums)), "and each once, of either leader");
          assert.equal(after.applied - applied, 2, "the first entry of a term changes no state");

          const restored = new KeyValueMachine(jsonCodec<number>());
          const point = await restoreBackup(restored, await DirectoryBucket.open(`${directory}/bucket`));
          assert.include([last, acknowledged], String(point.index), "what the bucket had acknowledged, or one more");
          assert.deepEqual([restored.get("item1"), restored.get("apples")], [1, 110]);
        } finally {
          for (const line of lines) await line.close();
          await leader.kill();
        }
      })
    )
  ));
