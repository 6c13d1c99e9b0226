// Tables of key groups, as a manifest has them.

import { checkKeyGroups, keyGroupsMessage, keyGroupsOf } from "../../../src/snapshot/key_groups.ts";
import type { KeyGroupOffsets } from "../../../src/extend.ts";
import type { Random } from "../../support/random.ts";
import { someNumber } from "../mutate.ts";
import { law, type Target } from "../target.ts";

/** A table, right or nearly so. */
function someTable(random: Random, size: number): KeyGroupOffsets {
  const first = random.pick([0, 0, 1, 5, 32_767, 32_768, -1, 0.5]);
  const count = random.pick([0, 1, 1, 2, 3, 10, 128]);
  const offsets = new Float64Array(count).map(() => random.below(size + 1)).sort();
  const last = first + count - 1 + random.pick([0, 0, 0, 0, 0, 1, -1]);
  if (random.chance(0.5) && count > 0) {
    const odd = [
      NaN,
      Infinity,
      -1,
      -0,
      0.5,
      size,
      size + 1,
      2 ** 53,
      Number(someNumber(random)),
      random.below(size + 1),
    ];
    offsets[random.below(count)] = random.pick(odd);
  }
  return { first, last, offsets };
}

function isTable({ first, last, offsets }: KeyGroupOffsets, size: number): boolean {
  if (!Number.isInteger(first) || first < 0 || last < first || last > 32_767) return false;
  if (offsets.length !== last + 1 - first) return false;
  return offsets.every((offset, i) =>
    Number.isSafeInteger(offset) && offset <= size && offset >= (i === 0 ? 0 : offsets[i - 1]!)
  );
}

export const keyGroups: Target = {
  name: "key-groups",
  share: 120,
  codes: ["MALFORMED"],
  prepare: () => (random: Random) => {
    const size = random.pick([0, 1, 100, 100, 2 ** 40]);
    const table = someTable(random, size);
    const right = isTable(table, size);
    const say = `a table of ${table.first} to ${table.last} with ${table.offsets.join()} in ${size}`;
    try {
      checkKeyGroups(table, size);
    } catch (error) {
      law(!right, `${say} is refused: ${error}`);
      throw error;
    }
    law(right, `${say} is taken`);
    const { first, last, offsets } = keyGroupsOf(keyGroupsMessage(table), size);
    law(first === table.first && last === table.last && offsets.join() === table.offsets.map(Math.abs).join(), say);
  },
};
