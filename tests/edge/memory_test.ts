import process from "node:process";
import { assert, test } from "../support/harness.ts";
import { HeapWatch } from "./heap.ts";
import { ask, withWorker } from "../support/miniflare.ts";

const ENTRIES = 100_000;
/** With its key an entry has 500 bytes: 50 MB in all. */
const VALUE = 491;
/** What an object may have at the most, in MiB; the platform ends one that has 128. */
const MOST = 100;
/** V8 is told less, and the rest is left for what lies outside of its heap. */
const HEAP = 84;

interface State {
  readonly size: number;
  readonly snapshotIndex: string;
  readonly bytes: number;
}

test("memory: a state of 50 MB is built, saved, loaded and saved again in 100 MiB of heap and buffers", async () => {
  const { MINIFLARE_WORKERD_V8_FLAGS: flags } = process.env;
  process.env["MINIFLARE_WORKERD_V8_FLAGS"] = `--max-heap-size=${HEAP}`;
  try {
    await withWorker(async (worker) => {
      const large = async (what: string): Promise<State> => JSON.parse(await ask(`${worker.url}/large/a/${what}`));
      const fill = async (from: number, to: number) => {
        for (; from < to; from += 2000) await large(`fill?from=${from}&to=${from + 2000}&size=${VALUE}`);
      };
      let watch = await HeapWatch.start(worker.inspector);
      const phase = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
        await watch.take();
        const start = performance.now();
        const result = await work();
        const seconds = (performance.now() - start) / 1000;
        const peak = await watch.take();
        const [all, heap, buffers] = [peak.all, peak.heap, peak.buffers].map((it) => it.toFixed(0));
        console.log(
          `memory, ${what}: ${all} MiB at the most (heap ${heap}, buffers ${buffers}), ${seconds.toFixed(1)} s`,
        );
        assert.isBelow(peak.all, MOST, what);
        return result;
      };
      await phase("built by 10^5 commands", () => fill(0, ENTRIES));
      const { bytes } = await phase("saved", () => large("snapshot"));
      assert.isAbove(bytes, 50_000_000);
      await phase("6,000 commands", () => fill(0, 6000));
      await phase("saved again", () => large("snapshot"));
      watch.stop();
      await worker.crash();
      watch = await HeapWatch.start(worker.inspector);
      const loaded = await phase("loaded", () => large("status"));
      assert.deepEqual([loaded.size, loaded.snapshotIndex], [ENTRIES, String(ENTRIES + 6000)]);
      await phase("2,000 commands after that", () => fill(0, 2000));
      await phase("saved after that", () => large("snapshot"));
      watch.stop();
    }, { inspect: true });
  } finally {
    if (flags === undefined) delete process.env["MINIFLARE_WORKERD_V8_FLAGS"];
    else process.env["MINIFLARE_WORKERD_V8_FLAGS"] = flags;
  }
});
