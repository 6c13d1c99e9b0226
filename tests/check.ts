// Format, lint, types (all of it; and the edge-safe part against the DOM's types alone), documentation of every export,
// whether it could be published, on JSR and on npm, the words and comments of the house, and whether tests/README.md
// says which tests run where.

import { LOCK } from "./suites/program.ts";
import { wrongInHouse } from "./support/house_words.ts";
import { assetsModule } from "./page.ts";
import { checkPackage } from "./pack/project.ts";
import { readmeWithTable } from "./suites/table.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
const entries: string[] = Object.values(config.exports);
/** What runs where there is neither a disk nor `node:`. */
const EDGE_SAFE = ["mod.ts", "src/object.ts", "src/durable_object.ts", "src/opfs.ts", "src/formats.ts"];
const DOM_CONFIG = ".deno.dom.json";

let failed = 0;
function step(name: string, ...args: string[]): Promise<void> {
  return stepIn(ROOT, name, ...args);
}

async function stepIn(cwd: string, name: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd }).output();
  const decoder = new TextDecoder();
  say(name, success, decoder.decode(stdout) + decoder.decode(stderr));
}

/** Runs the examples of the documentation, in a directory of their own: they write files. */
async function examples(): Promise<void> {
  const directory = await Deno.makeTempDir();
  const flags = [`--config=${ROOT}deno.json`, `--lock=${ROOT}.deno.lock`, "--no-check", "--allow-all", "--quiet"];
  const strict = `--preload=${ROOT}tests/support/strict_assert.ts`;
  const all = ["mod.ts", "src/", "README.md"].map((path) => `${ROOT}${path}`);
  try {
    await stepIn(directory, "examples in the documentation", "test", "--doc", ...flags, strict, ...all);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function say(name: string, success: boolean, output: string): void {
  console.log(`${success ? "ok    " : "FAILED"} ${name}`);
  if (success) return;
  failed++;
  console.log(output);
}

await step("format", "fmt", "--check");
await step("lint", "lint");
await step("types", "check", LOCK, "mod.ts", "src/", "tests/");
const dom = { ...config.compilerOptions, lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"] };
await Deno.writeTextFile(`${ROOT}${DOM_CONFIG}`, JSON.stringify({ ...config, compilerOptions: dom }));
try {
  const args = ["check", "--config", DOM_CONFIG, "--no-lock", ...EDGE_SAFE];
  await step("types of the edge-safe part, against the DOM's", ...args);
} finally {
  await Deno.remove(`${ROOT}${DOM_CONFIG}`);
}
await step("documentation", "doc", LOCK, "--lint", ...entries);
await step("types of the examples in the documentation", "check", LOCK, "--doc-only", "mod.ts", "src/", "README.md");
await examples();
await step("publish, dry run", "publish", "--dry-run", "--allow-dirty");
const packageError = await checkPackage().then(() => undefined, (error) => String(error));
say("the npm package, as publint and attw see it", packageError === undefined, packageError ?? "");
const wrong = await wrongInHouse(ROOT);
say("words and comments of the house", wrong.length === 0, wrong.join("\n"));
const page = await Deno.readTextFile(`${ROOT}src/page/gen/assets.ts`) === await assetsModule();
say("the page in src/page/gen", page, "It is not what src/page/app and src make: deno task page makes it anew");
const { is, should } = await readmeWithTable();
say("the table of tests/README.md", is === should, "It is not what the code says: deno task table writes it anew");
console.log(`${failed === 0 ? "all good" : `${failed} failed`}`);
Deno.exit(failed === 0 ? 0 : 1);
