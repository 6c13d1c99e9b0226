// Runs, on Node: the tests that a page or a worker runs by itself, then those that drive the browser.

import { runAll } from "../harness.ts";
import { startBrowser } from "./chromium.ts";
import { startSite } from "./site.ts";

/** Runs all tests. Returns how many failed. */
export async function drive(): Promise<number> {
  const totals = { passed: 0, failed: 0 };
  const count = (line: string) => {
    const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(line) ?? [];
    if (passed === undefined) return console.log(line);
    totals.passed += Number(passed);
    totals.failed += Number(failed);
    console.log(`  ${passed} passed, ${failed} failed`);
  };
  for (const [title, module, inWorker] of OWN) {
    console.log(`-- ${title}`);
    await runByItself(module, inWorker, count);
  }
  console.log("-- driven");
  await runAll(count);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  return totals.failed;
}

const OWN: readonly (readonly [title: string, module: string, inWorker: boolean])[] = [
  ["what runs everywhere, in a page", "edge", false],
  ["OPFS, in a page", "opfs", false],
  ["OPFS, in a dedicated worker", "opfs", true],
];

/** Runs a module of tests, which says in the end how many passed. */
async function runByItself(module: string, inWorker: boolean, log: (line: string) => void): Promise<void> {
  const site = await startSite();
  const browser = await startBrowser();
  try {
    const page = await browser.page();
    const ended = new Promise<void>((resolve, reject) => {
      page.on("console", (message) => {
        log(message.text());
        if (/^\d+ passed, \d+ failed$/.test(message.text())) resolve();
      });
      page.on("close", () => reject(new Error(`The page that ran ${module} was closed`)));
      page.on("crash", () => reject(new Error(`The page that ran ${module} crashed`)));
      page.on("pageerror", (error) => reject(error));
    });
    await Promise.all([ended, page.goto(`${site.url}/${inWorker ? "worker" : "page"}/${module}`)]);
  } catch (error) {
    log(`FAILED ${module}: ${error}`);
    log("0 passed, 1 failed");
  } finally {
    await browser.close();
    await site.close();
  }
}
