// Tests of the guides, as somebody who has the package installed would run them: on Node, which strips their types, and
// on Bun. A part of `package_test.ts`, so that the package is made once.

import { assert, test } from "../support/harness.ts";
import { guideEntries, snippetsOf } from "../support/guides.ts";
import { inTemp } from "../support/temp.ts";
import { runtime } from "../suites/runtimes.ts";
import { projectOfGuides } from "./project.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Runs one snippet after the other; an assertion that does not hold is an error. */
const RUNNER = `
import process from "node:process";
console.assert = (condition) => {
  if (!condition) throw new Error("an assertion does not hold");
};
let failed = 0;
for (const name of process.argv.slice(2)) {
  try {
    await import(name);
  } catch (error) {
    failed++;
    console.error(name, error);
  }
}
process.exit(failed === 0 ? 0 : 1);
`;

let snippets: Promise<string[]> | undefined;

/** Writes all snippets into the project, and returns their paths. */
async function written(): Promise<string[]> {
  const directory = await projectOfGuides();
  await Deno.writeTextFile(`${directory}/run.js`, RUNNER);
  const paths: string[] = [];
  for (const entry of await guideEntries(ROOT.slice(0, -1))) {
    for (const [i, { code }] of (await snippetsOf(ROOT + entry)).entries()) {
      paths.push(`${directory}/${entry.replaceAll(/\W/g, "-")}-${i}.ts`);
      await Deno.writeTextFile(paths.at(-1)!, code);
    }
  }
  return paths;
}

/** Registers the tests. */
export function testGuides(): void {
  for (const name of ["node24", "bun"] as const) {
    test(`package: every guide runs as it stands there, with the package installed: ${name}`, async () => {
      const paths = await (snippets ??= written());
      assert.isAtLeast(paths.length, 25);
      await inTemp(async (cwd) => {
        const args = [new URL("run.js", `file://${paths[0]}`).pathname, ...paths];
        const { success, stderr } = await new Deno.Command(await runtime(name), { args, cwd }).output();
        assert.isTrue(success, new TextDecoder().decode(stderr));
      });
    });
  }
}
