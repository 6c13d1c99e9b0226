// Makes the site of the documentation, of all entries, in `.build/docs`: `deno task docs`. What `deno doc --html` leaves
// out is put in: the names by which modules are imported, the list of modules, and the symbols by category.

import { BUILD, LOCK, ROOT } from "./suites/program.ts";

const OUTPUT = `${BUILD}/docs`;
const { name, exports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
  name: string;
  exports: Record<string, string>;
};
const entries = Object.keys(exports);

async function doc(...args: string[]): Promise<string> {
  const all = ["doc", LOCK, "--quiet", ...args];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: all, cwd: ROOT }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The part that is used of what `deno doc --json` says. */
interface Documented {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocumentedSymbol[] }>>;
}
interface DocumentedSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly jsDoc?: { readonly tags?: readonly { readonly kind: string; readonly doc?: string }[] };
  }[];
}

/** The names of the main entry's symbols by their `@category`. */
async function categories(): Promise<Map<string, string[]>> {
  const { nodes } = JSON.parse(await doc("--json", "mod.ts")) as Documented;
  const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
  const categoryOf = ({ declarations }: DocumentedSymbol) =>
    declarations.flatMap(({ jsDoc }) => jsDoc?.tags ?? []).find(({ kind }) => kind === "category")?.doc?.trim();
  const found = Map.groupBy(symbols, (symbol) => categoryOf(symbol) ?? "Other");
  return new Map([...found].sort().map(([category, symbols]) => [category, symbols.map(({ name }) => name).sort()]));
}

function links(paths: readonly (readonly [text: string, path: string])[]): string {
  return `<ul>${paths.map(([text, path]) => `<li><a href="${path}">${text}</a></li>`).join("")}</ul>`;
}

/** The page of an entry, from the root of the site. */
const pageOf = (entry: string) => entry === "." ? "index.html" : `${entry.slice(2)}/index.html`;

/** The list of modules on each module's page, and the categories on the main one's. */
async function navigation(entry: string): Promise<string> {
  const root = "../".repeat(pageOf(entry).split("/").length - 1);
  const modules = links(entries.map((other) => [other, root + pageOf(other)]));
  const byCategory = entry !== "."
    ? []
    : [...await categories()].map(([category, names]) =>
      `<details><summary><strong>${category}</strong></summary>${
        links(names.map((name) => [name, `~/${name}.html`]))
      }</details>`
    );
  return `<h3>Modules</h3>${modules}${byCategory.length > 0 ? "<h3>By category</h3>" : ""}${byCategory.join("")}`;
}

async function* pages(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) yield* pages(path);
    else if (name.endsWith(".html")) yield path;
  }
}

await Deno.remove(OUTPUT, { recursive: true }).catch(() => {});
await doc("--html", "--name=Snapstream", `--output=${OUTPUT}`, ...Object.values(exports));
const specifiers = new Map(entries.map((entry) => [entry.replace(/^\.\//, ""), name + entry.slice(1)]));
for await (const path of pages(OUTPUT)) {
  const page = await Deno.readTextFile(path);
  const named = page.replaceAll(/ from &quot;([^&]*)&quot;/g, (all, entry: string) => {
    const specifier = specifiers.get(entry);
    return specifier === undefined ? all : ` from &quot;${specifier}&quot;`;
  });
  await Deno.writeTextFile(path, named);
}
/** The first symbols of all, which say nothing. */
const TOP_SYMBOLS = /(?<=<nav class="topSymbols">)\s*<h3>Symbols<\/h3>\s*<ul>[\s\S]*?<\/ul>/;
for (const entry of entries) {
  const path = `${OUTPUT}/${pageOf(entry)}`;
  const page = await Deno.readTextFile(path);
  if (!TOP_SYMBOLS.test(page)) throw new Error(`${path} has no list of symbols to be replaced`);
  const navigated = page.replace(TOP_SYMBOLS, await navigation(entry));
  const told = navigated.replaceAll(/<code>(\.\/[\w/-]+)<\/code>/g, (all, other: string) => {
    const root = "../".repeat(pageOf(entry).split("/").length - 1);
    return entries.includes(other) ? `<a href="${root}${pageOf(other)}">${all}</a>` : all;
  });
  await Deno.writeTextFile(path, told);
}
console.log(`${OUTPUT}/index.html`);
