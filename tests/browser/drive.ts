// Has a page, or a worker of it, run the tests of a module, from Node.

import { startBrowser } from "./chromium.ts";
import { type DrivenPage, startFirefox } from "./firefox.ts";
import { startSite } from "./site.ts";

/** Runs a module of tests, and shows what it says; the last line says how many passed. Returns how many failed. */
export async function runByItself(module: string, where: "page" | "worker"): Promise<number> {
  const site = await startSite();
  const browser = process.env.FIREFOX === undefined ? await startBrowser() : await startFirefox();
  try {
    const page: DrivenPage = await browser.page();
    const ended = new Promise<number>((resolve, reject) => {
      page.on("console", (message) => {
        console.log(message.text());
        const [, failed] = /^\d+ passed, (\d+) failed$/.exec(message.text()) ?? [];
        if (failed !== undefined) resolve(Number(failed));
      });
      page.on("close", () => reject(new Error(`The page that ran ${module} was closed`)));
      page.on("crash", () => reject(new Error(`The page that ran ${module} crashed`)));
      page.on("pageerror", (error) => reject(error));
    });
    const [failed] = await Promise.all([ended, page.goto(`${site.url}/${where}/${module}`)]);
    return failed;
  } catch (error) {
    console.log(`FAILED ${module}: ${error}\n0 passed, 1 failed`);
    return 1;
  } finally {
    await browser.close();
    await site.close();
  }
}
