// All groups of suites: which kind of test runs where.

import { ofKinds, SERVICES } from "./files.ts";
import { realStdConfig } from "./jsr.ts";
import { ROOT } from "./program.ts";
import { onDeno, onNodeOrBun, onWorkerd } from "./runners.ts";
import type { Group } from "./suite.ts";

/** The groups that need nothing but runtimes, which come from npm. */
const GROUPS: readonly Group[] = [
  {
    name: "deno",
    suites: (files) => [
      onDeno("Deno, proofs", ofKinds(files, "proof", "disk proof")), // the longest first
      onDeno("Deno, runtime and disk", ofKinds(files, "runtime", "disk")),
      onDeno("Deno, core", ofKinds(files, "core")),
    ],
  },
  {
    name: "node",
    suites: (files) => [
      onNodeOrBun("Node 22", "node22", "disk", ofKinds(files, "runtime", "disk")),
      onNodeOrBun("Node 24", "node24", "disk", ofKinds(files, "runtime", "disk")),
      onNodeOrBun("Node 24, proofs", "node24", "proofs", ofKinds(files, "disk proof")),
    ],
  },
  {
    name: "bun",
    suites: (files) => [
      onNodeOrBun("Bun", "bun", "disk", ofKinds(files, "runtime", "disk")),
      onNodeOrBun("Bun, core", "bun", "core", ofKinds(files, "core")),
      onNodeOrBun("Bun, proofs", "bun", "proofs", ofKinds(files, "disk proof")),
    ],
  },
  {
    name: "workerd",
    suites: (files) => [
      onWorkerd("workerd", false, ofKinds(files, "core", "runtime")),
      onWorkerd("workerd with nodejs_compat", true, ofKinds(files, "runtime")),
    ],
  },
];

/**
 * The group of what runs with the real packages of @std, in the place of the stand-ins.
 *
 * @param std a checkout of them; JSR's own if absent
 */
export function jsrGroup(std: string | undefined): Group {
  return {
    name: "jsr",
    suites: (files) => {
      const all = ofKinds(files, "core", "runtime", "disk", "proof", "disk proof");
      const title = "Deno, with the real @std";
      return [{
        title,
        runtime: "deno",
        files: all,
        async run(selection, run) {
          const config = await realStdConfig(ROOT, std);
          try {
            const how = { config: ["--config", config, "--no-lock"], env: { SNAPSTREAM_CONFIG: config } };
            return await onDeno(title, all, how).run(selection, run);
          } finally {
            await Deno.remove(config);
          }
        },
      }];
    },
  };
}

/** All groups; those that need more are loaded from their folders. */
export async function allGroups(): Promise<Group[]> {
  const services = await Promise.all(
    SERVICES.map(async (name) => (await import(`../${name}/suite.ts`)).suite as Group),
  );
  return [...GROUPS, ...services];
}

/** The group of a name. */
export async function groupOf(name: string): Promise<Group> {
  const group = (await allGroups()).find((group) => group.name === name);
  if (group === undefined) throw new Error(`There is no group of tests called ${name}`);
  return group;
}

/** Installs what a group needs, if it is not here. */
export async function ready({ installed, install }: Group): Promise<void> {
  if (await installed?.() === false) await install!();
}
