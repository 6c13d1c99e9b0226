// Everything that runs in a browser, in a real one.

import { existsSync } from "node:fs";
import { runtime } from "../runtimes.ts";
import type { Service } from "../service.ts";
import { buildAll } from "./build.ts";

const DIRECTORY = new URL("../../.runtimes/browser", import.meta.url).pathname;
const PLAYWRIGHT = `${DIRECTORY}/node_modules/playwright-core/index.mjs`;
const CHROMIUM = "/usr/bin/chromium";

export const suite: Service = {
  needs: "Chromium (apt-get install chromium) and playwright-core (npm)",

  installed: () => Promise.resolve(existsSync(CHROMIUM) && existsSync(PLAYWRIGHT)),

  async install(): Promise<void> {
    if (!existsSync(CHROMIUM)) {
      await command("apt-get", ["update"]);
      await command("apt-get", ["install", "-y", "--no-install-recommends", "chromium"]);
    }
    await Deno.mkdir(DIRECTORY, { recursive: true });
    await Deno.writeTextFile(`${DIRECTORY}/package.json`, `{ "private": true }\n`);
    // It brings no browser along without its install script.
    await command("npm", [
      "install",
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
      "--prefix",
      DIRECTORY,
      "playwright-core@1.65.1",
    ]);
  },

  async run(run) {
    const driver = await buildAll();
    return [
      await run("Chromium", await runtime("node24"), [driver], {
        CHROMIUM,
        PLAYWRIGHT,
        ROOT: new URL("../../", import.meta.url).pathname,
        DENO: Deno.execPath(),
      }),
    ];
  },
};

async function command(program: string, args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(program, {
    args: [...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
  }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
}
