// The plan of src/README.md, held against the imports: no circle, no arrow that goes up, no door that is passed by.

import { assert, test } from "./support/harness.ts";

const ROOT = new URL("../", import.meta.url);

/** The floors, from the ground up: a file imports from its own floor and from those below. */
const FLOORS: readonly (readonly string[])[] = [
  ["errors.ts", "checks.ts"],
  ["async"],
  ["stream"],
  ["fs"],
  ["snapshot"],
  ["state", "bucket", "sqlite", "opfs", "format"],
  ["log"],
  ["storage", "transfer"],
  ["executor"],
  ["braft", "jetstream", "durable_object", "backup", "testing", "page", "otel"],
  ["cli"],
];

interface Dependency {
  readonly code?: { readonly specifier?: string };
  readonly type?: { readonly specifier?: string };
}

interface Graph {
  readonly modules: readonly { readonly specifier: string; readonly dependencies?: readonly Dependency[] }[];
}

/** The imports among the files of `src`, types too, by paths below it. */
async function importsOfSource(): Promise<Map<string, Set<string>>> {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))) as {
    exports: Record<string, string>;
  };
  const found = new Map<string, Set<string>>();
  const prefix = new URL("src/", ROOT).href;
  for (const entry of Object.values(exports)) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", entry],
      cwd: ROOT,
    }).output();
    for (const { specifier, dependencies = [] } of (JSON.parse(new TextDecoder().decode(stdout)) as Graph).modules) {
      if (!specifier.startsWith(prefix)) continue;
      const targets = dependencies.map(({ code, type }) => (code ?? type)?.specifier ?? "")
        .filter((target) => target.startsWith(prefix)).map((target) => target.slice(prefix.length));
      found.set(specifier.slice(prefix.length), new Set(targets));
    }
  }
  return found;
}

/** An entry file, which re-exports only, may look into any room. */
function isEntry(file: string): boolean {
  return !file.includes("/") && file !== "errors.ts" && file !== "checks.ts";
}

function floorOf(file: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(file.split("/")[0]!));
}

/** A circle that a file is in, if it is in one. */
function circleFrom(file: string, imports: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const next = [file];
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    for (const target of imports.get(at) ?? []) {
      if (target === file) {
        const circle = [file];
        for (let step: string | undefined = at; step !== undefined && step !== file; step = cameFrom.get(step)) {
          circle.unshift(step);
        }
        return circle;
      }
      if (cameFrom.has(target)) continue;
      cameFrom.set(target, at);
      next.push(target);
    }
  }
  return undefined;
}

test("the house: no circle of files, no arrow that goes up, no door that is passed by", async () => {
  const imports = await importsOfSource();
  assert.isAbove(imports.size, 150);
  const folders = new Set([...imports.keys()].filter((file) => file.endsWith("/mod.ts")).map(folderOf));
  const wrong: string[] = [];
  for (const [file, targets] of imports) {
    const circle = circleFrom(file, imports);
    if (circle !== undefined) wrong.push(`a circle: ${circle.join(" <- ")}`);
    if (isEntry(file)) continue;
    for (const target of targets) {
      if (floorOf(file) < floorOf(target)) wrong.push(`an arrow that goes up: ${file} imports ${target}`);
      const folder = folderOf(target);
      if (folders.has(folder) && !file.startsWith(`${folder}/`) && target !== `${folder}/mod.ts`) {
        wrong.push(`a door that is passed by: ${file} imports ${target}`);
      }
    }
  }
  assert.equal(wrong.join("\n"), "");
});

function folderOf(file: string): string {
  return file.slice(0, Math.max(file.lastIndexOf("/"), 0));
}
