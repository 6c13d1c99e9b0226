// What `deno pack` makes is installed in a project of its own, as a user of npm would, imported by Node and Bun, and its
// types are checked by TypeScript.

import type { Outcome } from "./run.ts";
import { runtime } from "./runtimes.ts";
import type { Run } from "./service.ts";

const PROGRAM = `
import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec, type SnapshotInfo } from "@snapstream/snapstream";
import { DirectoryStorage } from "@snapstream/snapstream/fs";
import { SqliteLog } from "@snapstream/snapstream/sqlite";
import { storageConformance } from "@snapstream/snapstream/testing";

const machine = new KeyValueMachine(utf8Codec());
const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
await replica.propose(machine.put("hello", "world"));
const snapshot: SnapshotInfo | undefined = (await replica.snapshot().result).snapshot;
await replica.close();
const ok = snapshot?.meta.lastIncludedIndex === 1n && typeof DirectoryStorage.open === "function" &&
  typeof SqliteLog.open === "function" && storageConformance.length === 1;
console.log(ok ? "1 passed, 0 failed" : "0 passed, 1 failed");
`;

/** Packs, installs, and runs. */
export async function runPack(root: string, build: string, run: Run): Promise<Outcome> {
  const project = `${build}/project`;
  await Deno.remove(project, { recursive: true }).catch(() => {});
  await Deno.mkdir(project, { recursive: true });
  // The stand-ins for @std too: without JSR's registry they are what the package depends on.
  const { links } = JSON.parse(await Deno.readTextFile(`${root}deno.json`)) as { links: string[] };
  const packages: string[] = [];
  for (const directory of [".", ...links]) {
    const file = `${directory.replace(/\W+/g, "-")}.tgz`;
    const args = ["pack", "--quiet", "--allow-dirty", "--output", `${project}/${file}`];
    await command(Deno.execPath(), args, `${root}${directory}`);
    packages.push(`./${file}`);
  }
  await Deno.writeTextFile(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
  await Deno.writeTextFile(`${project}/main.ts`, PROGRAM);
  await command(
    "npm",
    ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...packages, "@types/node@24"],
    project,
  );
  const flags = [
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--lib",
    "es2024,dom,dom.iterable,dom.asynciterable,esnext.disposable",
  ];
  await command(
    await runtime("typescript"),
    [...flags, "--strict", "--outDir", `${project}/out`, `${project}/main.ts`],
    project,
  );
  const outcomes = [
    await run("Node 24, from the package", await runtime("node24"), [
      "--disable-warning=ExperimentalWarning",
      `${project}/out/main.js`,
    ]),
    await run("Bun, from the package", await runtime("bun"), [`${project}/out/main.js`]),
  ];
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
  };
}

async function command(program: string, args: readonly string[], cwd: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd }).output();
  if (success) return;
  const decoder = new TextDecoder();
  throw new Error(`${program} ${args.join(" ")} failed:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}
