// How long a Durable Object takes to be there again with 10^5 entries, by its log and by a snapshot in R2, in workerd as
// miniflare runs it: from the first request that finds it gone to the answer, less what one without entries takes.

import { bundleWorker } from "../edge/bundle.ts";
import { ask, withWorker, type Worker } from "../support/miniflare.ts";
import { groupOf, ready } from "../suites/groups.ts";
import { median, report, seconds } from "./report.ts";

const ENTRIES = 100_000;
const BATCH = 5000;
const VALUE = 50;
const ROUNDS = 5;

/** How long it takes until an object that is not in memory answers, in milliseconds: in a new process, and after another. */
async function restore(worker: Worker, name: string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await worker.crash();
    await ask(`${worker.url}/large/warm-${round}/status`);
    times.push(1000 * await seconds(() => ask(`${worker.url}/large/${name}/status`)));
  }
  return median(times);
}

await ready(await groupOf("edge"));
await bundleWorker();
await withWorker(async (worker) => {
  const fill = async () => {
    for (let from = 0; from < ENTRIES; from += BATCH) {
      await ask(`${worker.url}/large/a/fill?from=${from}&to=${from + BATCH}&size=${VALUE}`);
    }
  };
  report("durable_object", "10^5 commands, 5,000 at once", ENTRIES / await seconds(fill), "commands/s");
  const empty = await restore(worker, "empty");
  report("durable_object", "an empty object", empty, "ms");
  report("durable_object", "10^5 entries, from the log", await restore(worker, "a") - empty, "ms");
  report("durable_object", "a save of them", 1000 * await seconds(() => ask(`${worker.url}/large/a/snapshot`)), "ms");
  report("durable_object", "10^5 entries, from a snapshot", await restore(worker, "a") - empty, "ms");
});
