// What `deno pack` makes is installed in a project of its own, as a user of npm would, imported by Node and Bun, and its
// types are checked by TypeScript.

import { BUILD, ROOT } from "./program.ts";
import { runtime } from "./runtimes.ts";
import type { Suite } from "./suite.ts";

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

/** The flags of TypeScript, for a program of a user. */
const TYPESCRIPT = [
  ...["--module", "nodenext", "--target", "es2024", "--strict"],
  ...["--lib", "es2024,dom,dom.iterable,dom.asynciterable,esnext.disposable"],
];

/** The suites of the package; each is one test. */
export function packSuites(): Suite[] {
  return (["node24", "bun"] as const).map((name) => ({
    title: `the npm package, ${name === "bun" ? "Bun" : "Node 24"}`,
    runtime: name,
    files: [],
    async run(_selection, run) {
      const flags = name === "bun" ? [] : ["--disable-warning=ExperimentalWarning"];
      return await run(await runtime(name), [...flags, await packedProgram()]);
    },
  }));
}

let packed: Promise<string> | undefined;

/** A project that has the package installed: the path of its program. */
function packedProgram(): Promise<string> {
  return packed ??= makeProject(`${BUILD}/project`);
}

async function makeProject(project: string): Promise<string> {
  await Deno.remove(project, { recursive: true }).catch(() => {});
  await Deno.mkdir(project, { recursive: true });
  // The stand-ins for @std too: without JSR's registry they are what the package depends on.
  const { links } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as { links: string[] };
  const packages: string[] = [];
  for (const directory of [".", ...links]) {
    const file = `${directory.replace(/\W+/g, "-")}.tgz`;
    const args = ["pack", "--quiet", "--allow-dirty", "--output", `${project}/${file}`];
    await command(Deno.execPath(), args, `${ROOT}${directory}`);
    packages.push(`./${file}`);
  }
  await Deno.writeTextFile(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
  await Deno.writeTextFile(`${project}/main.ts`, PROGRAM);
  // What npm has fetched before it does not fetch again.
  const npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
  await command("npm", [...npm, ...packages, "@types/node@24.10.1"], project);
  await command(
    await runtime("typescript"),
    [...TYPESCRIPT, "--outDir", `${project}/out`, `${project}/main.ts`],
    project,
  );
  return `${project}/out/main.js`;
}

async function command(program: string, args: readonly string[], cwd: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], cwd }).output();
  if (success) return;
  const decoder = new TextDecoder();
  throw new Error(`${program} ${args.join(" ")} failed:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}
