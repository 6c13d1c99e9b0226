/**
 * Installs that were interrupted, and which of them to keep.
 *
 * @module
 */

import type { MediumFile, ReceivedSnapshot } from "./medium.ts";
import { readIfRight } from "./read_chunk.ts";

/** Chunks of an install that are looked at, to estimate how much of it is here. */
const SAMPLES = 32;

/**
 * The installs to drop so that so many are left: those of which least is here, since they cost least to fetch again; of
 * equals those of the older snapshots. Whoever offers many snapshots drops no other's half-received one.
 *
 * @param left the installs, newest snapshot first
 * @param most how many may be left
 */
export async function superfluous(
  left: readonly ReceivedSnapshot[],
  most: number,
): Promise<readonly ReceivedSnapshot[]> {
  if (left.length <= most) return [];
  const costs = new Map<ReceivedSnapshot, number>();
  for (const install of left) costs.set(install, await costOf(install));
  return [...left].sort((a, b) => costs.get(b)! - costs.get(a)!).slice(most); // the sort is stable
}

/** The approximate number of bytes of an install that are here and right, and would have to be fetched again. */
async function costOf({ place, manifest: { content } }: ReceivedSnapshot): Promise<number> {
  const samples = Math.min(SAMPLES, content.count);
  let held = 0;
  let opened: { readonly name: string; readonly file: MediumFile | undefined } | undefined;
  try {
    for (let sample = 0; sample < samples; sample++) {
      const { file: { name, chunks }, chunk } = content.locate(Math.floor(sample * content.count / samples));
      if (opened?.name !== name) {
        await opened?.file?.close();
        opened = undefined;
        opened = { name, file: await place.open(name, "read").catch(() => undefined) };
      }
      if (opened.file === undefined) continue;
      const bytes = await readIfRight(opened.file, chunks, chunk).catch(() => undefined);
      if (bytes !== undefined) held++;
    }
  } finally {
    await opened?.file?.close().catch(() => {});
  }
  return samples === 0 ? 0 : content.size * held / samples;
}
