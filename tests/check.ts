// Format, lint, types (all of it; and the edge-safe part against the DOM's types alone), documentation of every export,
// and whether it could be published.

const ROOT = new URL("..", import.meta.url).pathname;
const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
const entries: string[] = Object.values(config.exports);
/** What runs where there is neither a disk nor `node:`. */
const EDGE_SAFE = ["mod.ts", "src/object.ts", "src/durable_object.ts", "src/storage/opfs.ts"];
const DOM_CONFIG = ".deno.dom.json";

let failed = 0;
async function step(name: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  console.log(`${success ? "ok    " : "FAILED"} ${name}`);
  if (success) return;
  failed++;
  const decoder = new TextDecoder();
  console.log(decoder.decode(stdout) + decoder.decode(stderr));
}

await step("format", "fmt", "--check");
await step("lint", "lint");
await step("types", "check", "mod.ts", "src/", "tests/");
const dom = { ...config.compilerOptions, lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"] };
await Deno.writeTextFile(`${ROOT}${DOM_CONFIG}`, JSON.stringify({ ...config, compilerOptions: dom }));
try {
  const args = ["check", "--config", DOM_CONFIG, "--no-lock", ...EDGE_SAFE];
  await step("types of the edge-safe part, against the DOM's", ...args);
} finally {
  await Deno.remove(`${ROOT}${DOM_CONFIG}`);
}
await step("documentation", "doc", "--lint", ...entries);
await step("examples in the documentation", "check", "--doc-only", "mod.ts", "src/", "README.md");
await step("publish, dry run", "publish", "--dry-run", "--allow-dirty");
console.log(`${failed === 0 ? "all good" : `${failed} failed`}`);
Deno.exit(failed === 0 ? 0 : 1);
