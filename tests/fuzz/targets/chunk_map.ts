// How files are cut: sizes, lengths and digests that need not fit each other; bits of chunks; numbers in the content.

import { ChunkMap } from "../../../mod.ts";
import { ChunkSet, SnapshotContent } from "../../../src/extend.ts";
import { concat, equal, sha256, u64 } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { someNumber } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";

async function someMap(random: Random): Promise<ChunkMap> {
  const odd = random.chance(0.25);
  const some = odd ? [1, 5, 100, 0, 2 ** 32 - 1] : [1, 5, 100, 2 ** 32 - 1];
  const lengths = Array.from({ length: random.below(6) }, () => random.pick(some));
  const sum = lengths.reduce((all, length) => all + length, 0);
  const size = odd ? random.pick([sum, sum + 1, -1, 0.5, NaN, Infinity, 2 ** 53, Number(someNumber(random))]) : sum;
  const byLength = random.chance(0.5);
  const chunkSize = random.pick(odd ? [1, 100, 0, -1, 0.5, NaN] : [100, 2 ** 20, 2 ** 32]);
  const count = byLength ? lengths.length : Math.ceil(size / chunkSize);
  const bytes = Math.min(Math.max((count || 0) * 32 + (odd ? random.pick([0, 0, 1, 32, -32]) : 0), 0), 32_000);
  const digests = new Uint8Array(bytes).fill(random.below(256));
  const chunking = byLength ? { chunkLengths: Uint32Array.from(lengths) } : { chunkSize };
  return await ChunkMap.of(size, chunking, digests);
}

/** What any map must be like. */
export function checkMap(map: ChunkMap, random: Random): void {
  law(map.offset(0) === 0 || map.count === 0, "the first chunk begins at 0");
  let sum = 0;
  const steps = map.count <= 64;
  for (let i = 0; steps && i < map.count; i++) {
    law(map.offset(i) === sum && map.length(i) > 0, `chunk ${i} begins where the one before ends`);
    sum += map.length(i);
  }
  law(!steps || sum === map.size, "the chunks make up the file");
  law(map.offset(map.count) === map.size, "the last chunk ends where the file does");
  law(map.digests.length === map.count * 32, "each chunk has a digest");
  for (let times = 0; map.size > 0 && times < 3; times++) {
    const position = Math.floor(random.next() * map.size);
    const i = map.at(position);
    law(map.offset(i) <= position && position < map.offset(i) + map.length(i), `the byte ${position} is in its chunk`);
  }
  law(map.at(map.size) === map.count, "the end is behind the last chunk");
}

export const chunkMap: Target = {
  name: "chunk-map",
  share: 90,
  codes: ["MALFORMED"],
  async prepare() {
    await Promise.resolve();
    return async (random) => {
      const maps: ChunkMap[] = [];
      for (let i = random.pick([1, 1, 2, 3]); i > 0; i--) maps.push(await someMap(random));
      for (const map of maps) {
        checkMap(map, random);
        law(equal(map.root, await sha256(concat([u64(map.size), map.digests]))), "the root is over size and digests");
      }
      const content = await must(
        "files are laid out",
        () => new SnapshotContent(maps.map((chunks, i) => ({ name: String(i), chunks }))),
      );
      for (let times = 0; times < 3 && content.count > 0; times++) {
        const n = random.below(content.count);
        const { file, chunk } = content.locate(n);
        law(content.firstChunk(file.name) + chunk === n, "a chunk is found where it is");
        law(content.offset(n) === content.start(file.name) + file.chunks.offset(chunk), "a chunk begins where it does");
        law(content.at(content.offset(n)) === n, "a chunk has its first byte");
      }
      const bytes = new Uint8Array(Math.ceil(content.count / 8) + (random.chance(0.1) ? 1 : 0));
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
      if (content.count % 8 > 0 && random.chance(0.7)) bytes[bytes.length - 1]! &= (1 << content.count % 8) - 1;
      const set = new ChunkSet(content.count, bytes);
      for (let i = content.count; i < bytes.length * 8; i++) law(!set.has(i), "no chunk is there that cannot be");
    };
  },
};
