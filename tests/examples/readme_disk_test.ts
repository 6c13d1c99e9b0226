// The README's example, as it stands there, and the table of what is where.

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { projectFlags } from "../support/child.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const ROOT = process.cwd();

test("the README's example runs", async () => {
  if (!("Deno" in globalThis)) return; // which can run TypeScript with the project's import map
  const readme = await readFile(`${ROOT}/README.md`, "utf8");
  const [, example] = /```ts\n([\s\S]*?)\n```\n/.exec(readme) as unknown as [string, string];
  assert.isAtMost(example.trim().split("\n").filter((line) => line !== "" && !line.startsWith("import")).length, 20);
  await inTemp(async (directory) => {
    const file = `${directory}/example.ts`;
    await writeFile(
      file,
      `${example}\nawait follower.replica.close(); await server.close(); await handler.close(); await leader.replica.close();`,
    );
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--quiet", ...projectFlags(), file],
      cwd: directory,
    }).output();
    assert.isTrue(success, new TextDecoder().decode(stderr));
    assert.equal(new TextDecoder().decode(stdout), "120714\n");
  });
});

test("the README names every entry point", async () => {
  const readme = await readFile(`${ROOT}/README.md`, "utf8");
  const { exports } = JSON.parse(await readFile(`${ROOT}/deno.json`, "utf8")) as { exports: Record<string, string> };
  for (const name of Object.keys(exports)) assert.include(readme, `\`${name}\``);
});
