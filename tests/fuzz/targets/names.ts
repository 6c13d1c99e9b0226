// Names of files: each alone, and those of one snapshot with each other.

import { checkName } from "../../../src/extend.ts";
import { checkNames, NameSet } from "../../../src/snapshot/names.ts";
import { SnapshotError } from "../../../src/errors.ts";
import type { Random } from "../../support/random.ts";
import { mutateText } from "../mutate.ts";
import { law, type Target } from "../target.ts";

const SEEDS: readonly string[] = [
  ...[
    "a",
    "a/b",
    "a/b/c",
    "state/0000",
    "..",
    ".",
    "/",
    "a//b",
    "a/./b",
    "a/../b",
    "a/",
    "../a",
    "a\\b",
    "a\0b",
    "..a",
  ],
  ...["...", ".a", "__raft_snapshot_meta", "__raft_snapshot_meta.tmp", "d/__raft_snapshot_meta", "\ud800", "é", ""],
  ...["C:/a", "a b", "~"],
];
/** At the limit, and slow to look at. */
const LONG: readonly string[] = [
  ...["x".repeat(1023), "x".repeat(1024), "é".repeat(512), "é".repeat(513), "a/".repeat(500) + "a"],
  ...["x".repeat(255), "x".repeat(256), "é".repeat(127), `a/${"x".repeat(255)}`, `${"x".repeat(255)}/a`],
];

/** What DESIGN says of names, said again. */
export function isName(name: string): boolean {
  if (/^__raft_snapshot_meta(\.tmp)?(\/|$)/.test(name)) return false;
  if (/[\0\\]/.test(name) || /[\ud800-\udfff]/u.test(name)) return false;
  if (name.split("/").some((part) => part === "" || part === "." || part === "..")) return false;
  const sizeOf = (text: string) => new TextEncoder().encode(text).length;
  return sizeOf(name) <= 1024 && name.split("/").every((part) => sizeOf(part) <= 255);
}

/** Whether some names can be in one snapshot. */
export function areNames(names: readonly string[]): boolean {
  return names.every((name, i) =>
    isName(name) && names.every((other, j) => i === j || other !== name && !other.startsWith(`${name}/`))
  );
}

function refused(work: () => unknown): SnapshotError | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof SnapshotError) return error;
    throw error;
  }
}

export const names: Target = {
  name: "names",
  share: 340,
  codes: ["MALFORMED"],
  prepare: () => (random: Random) => {
    const all = Array.from({ length: random.pick([1, 1, 2, 4]) }, () => {
      const seed = random.pick(random.chance(0.02) ? LONG : SEEDS);
      return random.chance(0.2) ? seed : mutateText(seed, random);
    });
    if (random.chance(0.2)) all.push(`${all[0]}/${random.pick(SEEDS)}`);
    for (const name of all) {
      law((refused(() => checkName(name)) === undefined) === isName(name), `checkName(${JSON.stringify(name)})`);
    }
    const right = areNames(all);
    const set = new NameSet();
    const clash = refused(() => all.forEach((name) => set.add(name)));
    law((clash === undefined) === right, `NameSet of ${JSON.stringify(all)}`);
    const error = refused(() => checkNames(all));
    law((error === undefined) === right, `checkNames of ${JSON.stringify(all)}`);
    if (error !== undefined) throw error;
  },
};
