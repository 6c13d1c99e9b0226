// Manifests that braft itself wrote, from the files of its fixtures.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Target } from "../target.ts";
import { attackWith } from "./manifest.ts";

// Where the project is run from: of a bundle, this module's own address says nothing.
const HERE = "tests/fixtures/braft";
const SHARED = "../shared/fixtures/braft";

function targetOf(name: string, directory: string): Target {
  return {
    name,
    share: 5,
    codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED"],
    prepare() {
      const corpus = (readdirSync(directory, { recursive: true }) as string[])
        .filter((path) => path.endsWith("__raft_snapshot_meta")).sort()
        .map((path) => new Uint8Array(readFileSync(`${directory}/${path}`)).subarray(4))
        .filter((bytes) => bytes.length > 0);
      if (corpus.length === 0) throw new Error(`There are no manifests in ${directory}`);
      return attackWith(corpus);
    },
  };
}

/** Those that are here. */
export const braft: Target = targetOf("braft", HERE);
/** Those of the folder that is shared, where there is one: a target of its own, so that cases mean the same everywhere. */
export const braftShared: readonly Target[] = existsSync(SHARED) ? [targetOf("braft-shared", SHARED)] : [];
