/**
 * States of a database that the program has dropped.
 *
 * @module
 */

import type { Engine } from "./engine.ts";
import { type DescribedState, encodeHead, type Head } from "../format/mod.ts";
import { endOf, metaKey, metaValue, nameBytes, prefixOf, type Slot } from "./stored_keys.ts";

/**
 * Deletes what a database has of states that are dropped.
 *
 * @returns what it has of others
 */
export async function dropStates(
  engine: Engine,
  { slot, hasApplied }: { readonly slot: Slot; readonly hasApplied: boolean },
  head: Head,
  drop: readonly string[] = [],
): Promise<readonly DescribedState[]> {
  const states = head.states.filter(({ name }) => !drop.includes(name));
  if (states.length === head.states.length) return states;
  for (const { name } of head.states) {
    if (!drop.includes(name)) continue;
    for (let group = head.range.first; group <= head.range.last; group++) {
      const prefix = prefixOf(slot, group, nameBytes(name));
      await engine.clear(prefix, endOf(prefix));
    }
  }
  // Only now: if it was interrupted, the next opening finds the rest by its description, and resumes.
  await engine.write([{ key: metaKey(), value: metaValue(slot, hasApplied, encodeHead({ ...head, states })) }]);
  return states;
}
