// How long the synchronous part of a save keeps the machine from applying, beside what one would do without CowMap.

import { CowMap } from "../../mod.ts";
import { median, report } from "./report.ts";

const time = (work: () => unknown) => {
  const start = performance.now();
  work();
  return performance.now() - start;
};

for (const size of [1e5, 1e6, 1e7]) {
  const map = new Map<number, number>();
  const cow = new CowMap<number, number>();
  for (let i = 0; i < size; i++) {
    map.set(i, i);
    cow.set(i, i);
  }
  const pauses: number[] = [];
  for (let i = 0; i < 101; i++) {
    let view: { release(): void };
    pauses.push(time(() => view = cow.snapshot()));
    for (let j = 0; j < 1000; j++) cow.set((i * 1000 + j) % size, j); // so that the next is not the same view
    view!.release();
    for (let j = 0; j < 2000; j++) cow.set((i * 1000 + j) % size, j);
  }
  report("pause", `CowMap.snapshot(), ${size} entries`, median(pauses), "ms", { atMost: 0.1 });
  report("pause", `the longest of 101, ${size} entries`, Math.max(...pauses), "ms");
  report("pause", `new Map(map), ${size} entries`, time(() => new Map(map)), "ms");
  report("pause", `structuredClone(map), ${size} entries`, time(() => structuredClone(map)), "ms");
}
