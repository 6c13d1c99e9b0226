// What the browser loads, and what drives it, each as one module.

import { walk } from "../walk.ts";
import { NATIVE_PACKAGES } from "../runtimes.ts";
import { SERVICES } from "../service.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const BUILD = `${ROOT}.build/browser`;
const TESTS = `${ROOT}tests/`;

const POLYFILL = `import "${TESTS}browser/page/polyfill.ts";`;

/** Builds everything; returns the program, for Node, that runs the tests. */
export async function buildAll(): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  const all = (await walk(`${ROOT}tests`)).filter((path) => path.endsWith("_test.ts"));
  const edge = all.filter((path) =>
    !path.endsWith("_disk_test.ts") && !SERVICES.some((name) => path.startsWith(`${TESTS}${name}/`))
  );
  const inPage = all.filter((path) => path.startsWith(`${TESTS}browser/page/`));
  const driving = all.filter((path) => path.startsWith(`${TESTS}browser/`) && !inPage.includes(path));
  await module("edge", "browser", [POLYFILL, ...imports(edge), `import "${TESTS}browser/page/run.ts";`]);
  await module("opfs", "browser", [POLYFILL, ...imports(inPage), `import "${TESTS}browser/page/run.ts";`]);
  await module("app", "browser", [`import "${TESTS}browser/page/app.ts";`]);
  return await module("driver", "deno", [
    ...imports(driving),
    `import { drive } from "${TESTS}browser/drive.ts";`,
    "process.exitCode = await drive() > 0 ? 1 : 0;",
  ]);
}

function imports(files: readonly string[]): string[] {
  return files.map((path) => `import "${path}";`);
}

async function module(name: string, platform: "deno" | "browser", lines: readonly string[]): Promise<string> {
  const [entry, output] = [`${BUILD}/${name}.ts`, `${BUILD}/${name}.mjs`];
  await Deno.writeTextFile(entry, lines.join("\n"));
  const external = NATIVE_PACKAGES.flatMap((name) => ["--external", name]);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", platform, ...external, "--output", output, entry],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(stderr)}`);
  return output;
}
