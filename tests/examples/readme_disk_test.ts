// The README's example, as it stands there, and the table of what is where.

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { projectFlags } from "../support/child.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const ROOT = process.cwd();

const EXAMPLES = [
  {
    name: "its first",
    has: "follower.replica.install",
    end: "await follower.replica.close(); await server.close(); await handler.close(); await leader.replica.close();",
    prints: /^120714\n$/,
  },
  { name: "of followers and backups", has: "standby.follow", end: "", prints: /^120714 \{ entries: 0n, bytes: 0/ },
];

for (const { name, has, end, prints } of EXAMPLES) {
  test(`the README's example runs: ${name}`, async () => {
    if (!("Deno" in globalThis)) return; // which can run TypeScript with the project's import map
    const readme = await readFile(`${ROOT}/README.md`, "utf8");
    const example = readme.matchAll(/```ts\n([\s\S]*?)\n```\n/g).map(([, code]) => code!).find((code) =>
      code.includes(has)
    )!;
    assert.isAtMost(example.trim().split("\n").filter((line) => line !== "" && !line.startsWith("import")).length, 20);
    await inTemp(async (directory) => {
      const file = `${directory}/example.ts`;
      await writeFile(file, `${example}\n${end}`);
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--quiet", ...projectFlags(), file],
        cwd: directory,
      }).output();
      assert.isTrue(success, new TextDecoder().decode(stderr));
      assert.match(new TextDecoder().decode(stdout), prints);
    });
  });
}

test("the README names every entry point", async () => {
  const readme = await readFile(`${ROOT}/README.md`, "utf8");
  const { exports } = JSON.parse(await readFile(`${ROOT}/deno.json`, "utf8")) as { exports: Record<string, string> };
  for (const name of Object.keys(exports)) assert.include(readme, `\`${name}\``);
});

test("the README is read in a few minutes: the rest is in the guides", async () => {
  assert.isBelow((await readFile(`${ROOT}/README.md`, "utf8")).split("\n").length, 250);
});
