// What the package exports: each name from one entry; and each name of `.` where its documentation shows its use.

import { type Documented, entries, symbolsOf } from "./support/exported.ts";
import { assert, test } from "./support/harness.ts";

const CATEGORIES = ["Errors", "Replica", "State", "Storage", "Streams", "Transfer"];

function tagsOf({ declarations }: Documented, kind: string): string[] {
  return declarations.flatMap(({ jsDoc }) => jsDoc?.tags ?? [])
    .filter((tag) => tag.kind === kind).map(({ doc }) => doc ?? "");
}

test("exports: no name from two entries", async () => {
  const owners = new Map<string, Set<string>>();
  for (const [entry, path] of await entries()) {
    for (const { name } of await symbolsOf(path)) owners.set(name, (owners.get(name) ?? new Set()).add(entry));
  }
  assert.isAbove(owners.size, 250);
  const twice = [...owners].filter(([, from]) => from.size > 1).map(([name, from]) => `${name}: ${[...from].join()}`);
  assert.equal(twice.join("\n"), "");
});

test("exports: each name of `.` has a category, and an example or a link to a name that has one", async () => {
  const symbols = await symbolsOf("mod.ts");
  assert.isAtMost(symbols.length, 150);
  const shown = new Set(symbols.filter((symbol) => tagsOf(symbol, "example").length > 0).map(({ name }) => name));
  const wrong: string[] = [];
  for (const symbol of symbols) {
    const categories = tagsOf(symbol, "category").map((category) => category.trim());
    if (categories.length !== 1 || !CATEGORIES.includes(categories[0]!)) {
      wrong.push(`${symbol.name} has the categories [${categories}], not one of ${CATEGORIES}`);
    }
    if (shown.has(symbol.name)) continue;
    const docs = [...symbol.declarations.map(({ jsDoc }) => jsDoc?.doc ?? ""), ...tagsOf(symbol, "see")].join("\n");
    const links = [...docs.matchAll(/\{@linkcode (\w+)/g)].map(([, name]) => name!);
    if (!links.some((name) => shown.has(name))) {
      wrong.push(`${symbol.name} has no @example, and no {@linkcode} to a name that has one`);
    }
  }
  assert.equal(wrong.join("\n"), "");
});
