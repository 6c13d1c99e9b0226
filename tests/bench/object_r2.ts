// 1 GiB to and from R2, as miniflare runs it, inside a worker.

import { createRequire } from "node:module";
import { median, report, seconds } from "./report.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const MiB = 1024 ** 2;
const SIZE = 1024 * MiB;
/** Miniflare takes half a minute for each GiB. */
const ROUNDS = 1;

interface Miniflare {
  readonly ready: Promise<URL>;
  dispose(): Promise<void>;
}

/** Measures. */
export async function benchR2(): Promise<void> {
  await Deno.mkdir(`${ROOT}.build`, { recursive: true });
  const script = `${ROOT}.build/object_worker.mjs`;
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--lock=.deno.lock",
      "--platform",
      "browser",
      "--output",
      script,
      `${ROOT}tests/bench/object_worker.ts`,
    ],
    cwd: ROOT,
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("Cannot bundle the worker");
  const path = `${ROOT}.runtimes/edge/node_modules/miniflare/dist/src/index.js`;
  const { Miniflare } = createRequire(path)(path);
  const directory = await Deno.makeTempDir();
  const miniflare: Miniflare = new Miniflare({
    modules: true,
    scriptPath: script,
    compatibilityDate: "2026-07-01",
    r2Buckets: ["BUCKET"],
    r2Persist: directory,
  });
  try {
    const url = await miniflare.ready;
    const ask = async (path: string, seed: number): Promise<[time: number, calls: number]> => {
      let calls = 0;
      const time = await seconds(async () => {
        const answer = await fetch(new URL(`${path}?size=${SIZE}&seed=${seed}`, url));
        if (!answer.ok) throw new Error(await answer.text());
        ({ calls } = await answer.json());
      });
      return [time, calls];
    };
    const ratios: { readonly up: number[]; readonly down: number[] } = { up: [], down: [] };
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const [plainUp] = await ask("/plain-up", seed);
      const [up, saves] = await ask("/up", seed);
      const [plainDown] = await ask("/plain-down", seed);
      const [down, reads] = await ask("/down", seed);
      if (seed === 1) report("object", "R2: requests to save 1 GiB", saves, "requests", { atMost: 300 });
      if (seed === 1) report("object", "R2: requests to read 1 GiB", reads, "requests", { atMost: 300 });
      report("object", `R2: plain upload, round ${seed}`, SIZE / MiB / plainUp, "MiB/s");
      report("object", `R2: save, round ${seed}`, SIZE / MiB / up, "MiB/s");
      report("object", `R2: plain download, round ${seed}`, SIZE / MiB / plainDown, "MiB/s");
      report("object", `R2: read, round ${seed}`, SIZE / MiB / down, "MiB/s");
      ratios.up.push(plainUp / up);
      ratios.down.push(plainDown / down);
    }
    report("object", "R2: save / plain upload in parts", median(ratios.up), "x", { atLeast: 0.6 });
    report("object", "R2: read / plain download", median(ratios.down), "x", { atLeast: 0.6 });
  } finally {
    await miniflare.dispose();
    await Deno.remove(directory, { recursive: true });
  }
}
