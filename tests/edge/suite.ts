// Durable Objects and R2, in workerd, as miniflare has them on this machine.

import { existsSync } from "node:fs";
import { runtime } from "../runtimes.ts";
import type { Service } from "../service.ts";
import { bundleEdge } from "./bundle.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const DIRECTORY = `${ROOT}.runtimes/edge`;
const MINIFLARE = "miniflare@4.20260730.0";

export const suite: Service = {
  needs: `${MINIFLARE} (npm)`,
  installed: () => Promise.resolve(existsSync(`${DIRECTORY}/node_modules/miniflare/dist/src/index.js`)),
  async install() {
    console.error(`Installing ${MINIFLARE} into .runtimes/edge …`);
    await Deno.mkdir(DIRECTORY, { recursive: true });
    await Deno.writeTextFile(`${DIRECTORY}/package.json`, `{ "private": true }\n`);
    const npm = new Deno.Command("npm", {
      args: ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", DIRECTORY, MINIFLARE],
      stdout: "null",
    });
    if (!(await npm.output()).success) throw new Error(`npm could not install ${MINIFLARE}`);
  },
  async run(run) {
    const program = await bundleEdge();
    return [
      await run("Durable Objects and R2", await runtime("node24"), ["--disable-warning=ExperimentalWarning", program]),
    ];
  },
};
