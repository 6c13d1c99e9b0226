// Everything that runs in a browser, in a real one.

import { existsSync } from "node:fs";
import { bundleWorker } from "../edge/bundle.ts";
import { suite as edge } from "../edge/suite.ts";
import { ofKinds } from "../suites/files.ts";
import { bundle, choice, imports, ROOT } from "../suites/program.ts";
import { installPackages, packagesInstalled, runtime, RUNTIMES } from "../suites/runtimes.ts";
import type { Group, Selection, Suite } from "../suites/suite.ts";

/** It brings no browser along without its install script. */
const PACKAGES = { "playwright-core": "playwright-core@1.65.1" };
const CHROMIUM = "/usr/bin/chromium";
const FIREFOX = "/usr/bin/firefox-esr";
/** What depends on the browser's OPFS; where a crash can cut is a matter of our own code, and takes Firefox minutes. */
const IN_FIREFOX = ["tests/browser/page/opfs_test.ts", "tests/browser/page/opfs_log_test.ts"];

/** The group. */
export const suite: Group = {
  name: "browser",
  needs: "Chromium and Firefox (apt-get install chromium firefox-esr), playwright-core and miniflare (npm)",
  async installed() {
    const isThere = [CHROMIUM, FIREFOX].every(existsSync) && packagesInstalled("browser", PACKAGES);
    return isThere && await edge.installed!();
  },
  async install(): Promise<void> {
    if (![CHROMIUM, FIREFOX].every(existsSync)) {
      console.error("Installing Chromium and Firefox …");
      await command("apt-get", ["update"]);
      await command("apt-get", ["install", "-y", "--no-install-recommends", "chromium", "firefox-esr"]);
    }
    await installPackages("browser", PACKAGES["playwright-core"], PACKAGES);
    await edge.install!();
  },
  suites(files) {
    const below = (folder: string) => files.filter((file) => file.startsWith(folder));
    const inPage = below("tests/browser/page/");
    return [
      driven(below("tests/browser/").filter((file) => !inPage.includes(file))),
      byItself("Chromium, a page", "page", "runtime", ofKinds(files, "runtime")),
      byItself("Chromium writing as Safari, OPFS in a page", "page", "opfs_page", inPage),
      byItself("Chromium, OPFS in a worker", "worker", "opfs_worker", inPage),
      byItself("Firefox, OPFS in a page", "page", "opfs_firefox_page", IN_FIREFOX, { FIREFOX }),
      byItself("Firefox, OPFS in a worker", "worker", "opfs_firefox_worker", IN_FIREFOX, { FIREFOX }),
    ];
  },
};

/** Tests that a page, or a dedicated worker of it, runs by itself. */
function byItself(
  title: string,
  where: "page" | "worker",
  module: string,
  files: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Suite {
  return {
    title,
    runtime: "FIREFOX" in env ? "firefox" : "chromium",
    files,
    async run(selection, run) {
      await bundle(`browser/${module}`, "browser", [
        `import "${ROOT}tests/browser/page/polyfill.ts";`,
        // The one suite writes as Safari does, the other as Chromium does.
        ...(module === "opfs_page" ? [`import "${ROOT}tests/browser/page/webkit_write.ts";`] : []),
        ...imports(selection.files),
        `import { runInPage } from "${ROOT}tests/browser/page/run.ts";`,
        `await runInPage(${choice(selection)});`,
      ]);
      const driver = await bundle(`browser/drive_${module}`, "deno", [
        `import { runByItself } from "${ROOT}tests/browser/drive.ts";`,
        `process.exitCode = await runByItself("${module}", "${where}") > 0 ? 1 : 0;`,
      ]);
      return await run(await runtime("node24"), [driver], { ...environment(), ...env });
    },
  };
}

/** Tests that drive the browser, from Node. */
function driven(files: readonly string[]): Suite {
  return {
    title: "Chromium, driven",
    runtime: "chromium",
    files,
    async run(selection: Selection, run) {
      await bundle("browser/app", "browser", [`import "${ROOT}tests/browser/page/app.ts";`]);
      for (const part of ["page", "worker"]) {
        await bundle(`browser/stock_${part}`, "browser", [`import "${ROOT}tests/examples/stock/${part}.ts";`]);
      }
      await bundle("browser/stock_leader", "deno", [`import "${ROOT}tests/examples/stock/leader.ts";`]);
      await bundleWorker();
      const driver = await bundle("browser/driven", "deno", [
        ...imports(selection.files),
        `import { runAll } from "${ROOT}tests/support/harness.ts";`,
        `process.exitCode = await runAll(console.log, ${choice(selection)}) > 0 ? 1 : 0;`,
      ]);
      return await run(await runtime("node24"), [driver], environment());
    },
  };
}

function environment(): Record<string, string> {
  const PLAYWRIGHT = `${RUNTIMES}/browser/node_modules/playwright-core/index.mjs`;
  return { CHROMIUM, PLAYWRIGHT, ROOT, DENO: Deno.execPath() };
}

async function command(program: string, args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(program, {
    args: [...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
  }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
}
