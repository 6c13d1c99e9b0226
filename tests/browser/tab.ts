// A tab that does what a test tells it.

import { rejects } from "../support/harness.ts";
import { SnapshotError, type SnapshotErrorCode } from "../../mod.ts";
import type { Outcome, Verbs } from "./page/app.ts";
import type { Browser, Page } from "./chromium.ts";
import type { Site } from "./site.ts";

/** Where a storage is open: in the page itself, or in a dedicated worker of it. */
export type Where = "page" | "worker";

export class Tab {
  readonly page: Page;
  readonly #where: Where;

  private constructor(page: Page, where: Where) {
    this.page = page;
    this.#where = where;
  }

  static async open(browser: Browser, site: Site, where: Where): Promise<Tab> {
    const page = await browser.page();
    await page.goto(`${site.url}/page/app`);
    return new Tab(page, where);
  }

  /** Has something done; fails with what it fails with. */
  async call<Name extends keyof Verbs>(
    name: Name,
    ...args: Parameters<Verbs[Name]>
  ): Promise<Awaited<ReturnType<Verbs[Name]>>> {
    const verb = this.#where === "page" ? "call" : "inWorker";
    const outcome = await this.page.evaluate<Outcome>(`app.${verb}(...${JSON.stringify([name, ...args])})`);
    if ("value" in outcome) return outcome.value as Awaited<ReturnType<Verbs[Name]>>;
    if (outcome.code === "") throw new Error(outcome.message);
    throw new SnapshotError(outcome.code as SnapshotErrorCode, outcome.message);
  }

  /** Has something done that fails. */
  async fails<Name extends keyof Verbs>(
    code: SnapshotErrorCode,
    name: Name,
    ...args: Parameters<Verbs[Name]>
  ): Promise<SnapshotError> {
    return await rejects(this.call(name, ...args), code);
  }

  /** Loads the page anew, whatever it is doing. What it had open is free then. */
  async reload(directory: string): Promise<void> {
    await this.page.reload();
    await this.call("free", directory);
  }
}
