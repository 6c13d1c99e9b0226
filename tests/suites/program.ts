// Programs made of the project's modules, for runtimes without TypeScript and import maps.

import type { Selection } from "./suite.ts";
import { linkNativePackages, NATIVE_PACKAGES } from "./runtimes.ts";

/** The project's root, with a slash. */
export const ROOT: string = new URL("../../", import.meta.url).pathname;

/** Where programs are made. */
export const BUILD: string = `${ROOT}.build`;

/**
 * The flag that names the lock file. It is not in deno.json, and npm's imports are in a scope there: `deno task` fetches
 * all that it finds in either before a task begins, and lists it.
 */
export const LOCK = "--lock=.deno.lock";

/** The programs that tests start as processes of their own. */
export const CHILDREN: readonly string[] = [
  "tests/crash/kill_child.ts",
  "tests/crash/durable_kill_child.ts",
  "tests/crash/full_disk_child.ts",
  "tests/crash/full_log_child.ts",
  "tests/chaos/child.ts",
  "tests/siege/crowd_child.ts",
];

/**
 * Makes one module of some lines of source.
 *
 * @param name of the module in {@linkcode BUILD}
 * @param platform `deno` keeps imports of `node:`; `browser` has none
 * @param lines the source
 * @returns where it is
 */
export async function bundle(name: string, platform: "deno" | "browser", lines: readonly string[]): Promise<string> {
  const [entry, output] = [`${BUILD}/${name}.ts`, `${BUILD}/${name}.mjs`];
  await Deno.mkdir(entry.slice(0, entry.lastIndexOf("/")), { recursive: true });
  await Deno.writeTextFile(entry, lines.join("\n"));
  const external = NATIVE_PACKAGES.flatMap((name) => ["--external", name]);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", LOCK, "--platform", platform, ...external, "--output", output, entry],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(stderr)}`);
  return output;
}

/** The lines that import test files. */
export function imports(files: readonly string[]): string[] {
  return files.map((file) => `import "${ROOT}${file}";`);
}

/** The arguments of `runAll` in a program's source, after what it says its lines with. */
export function choice({ filter, times }: Selection): string {
  return JSON.stringify({ ...(filter !== undefined && { filter }), ...(times === true && { times }) });
}

/** The end of a program for Node or Bun that runs the tests which were imported before. */
export function onNode(selection: Selection): string[] {
  return [
    `import { runAll } from "${ROOT}tests/support/harness.ts";`,
    `process.exitCode = await runAll(console.log, ${choice(selection)}) > 0 ? 1 : 0;`,
    "setTimeout(() => {", // a body that a client has left alone keeps its place for a minute
    '  console.log("FAILED: what was left keeps the process from ending: " + process.getActiveResourcesInfo?.());',
    '  console.log("0 passed, 1 failed");',
    "  process.exit(1);",
    "}, 150_000).unref();",
  ];
}

/** The end of a program for workerd that runs the tests which were imported before. */
export function onWorkerd(selection: Selection): string[] {
  return [
    `import { runAll } from "${ROOT}tests/support/harness.ts";`,
    "export default { async test() {",
    `  if (await runAll(console.log, ${choice(selection)}) > 0) throw new Error("There are failures");`,
    "} };",
  ];
}

const made = new Map<string, Promise<string>>();

/** The program for Node and Bun of some tests, with all that they start or load beside it; made once. */
export function nodeProgram(name: string, selection: Selection): Promise<string> {
  return once(`${name} ${JSON.stringify(selection)}`, async () => {
    await once("what is beside it", async () => {
      await Deno.mkdir(BUILD, { recursive: true });
      await linkNativePackages(BUILD);
      await bundle("cli", "deno", [`import "${ROOT}src/cli/main.ts";`]);
      for (const child of CHILDREN) await program(child);
      return "";
    });
    return await bundle(name, "deno", [...imports(selection.files), ...onNode(selection)]);
  });
}

/** Makes the program for Node and Bun of a file that is none of tests. */
export function program(file: string): Promise<string> {
  return bundle(childName(file), "deno", [`import "${ROOT}${file}";`]);
}

/** The program for workerd of some tests. */
export function workerdProgram(name: string, selection: Selection): Promise<string> {
  return once(
    `${name} ${JSON.stringify(selection)}`,
    () => bundle(name, "browser", [...imports(selection.files), ...onWorkerd(selection)]),
  );
}

/** The name of the module of a program that tests start: `tests/support/child.ts` finds it there. */
function childName(file: string): string {
  return `children/${file.replaceAll("/", "-").replace(/\.ts$/, "")}`;
}

/** Makes something once, however many ask for it at a time. */
function once(key: string, make: () => Promise<string>): Promise<string> {
  if (!made.has(key)) made.set(key, make());
  return made.get(key)!;
}
