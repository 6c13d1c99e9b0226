// What `tests/interop/flink/Updates.java` leaves behind: it changes, adds to and deletes each of its keys, round by round.

import { assert } from "./harness.ts";
import type { FormatReader } from "../../src/formats.ts";

/**
 * The state of the job, by the names of its states.
 *
 * @param keys how many keys it has
 * @param runs how many rounds it did each time that it ran
 */
function stateAfter(keys: number, runs: readonly number[]): Record<string, Map<string, unknown>> {
  const [count, list, map] = [new Map<string, bigint>(), new Map<string, number[]>(), new Map<string, number>()];
  for (const round of runs.flatMap((rounds) => [...Array(rounds).keys()])) {
    for (let k = 0; k < keys; k++) {
      const key = `key-${k}`;
      if ((k + round) % 7 === 0) {
        count.delete(key);
        list.delete(key);
        for (let i = 0; i < 3; i++) map.delete(`${key}/m${i}`);
        continue;
      }
      if ((k + round) % 3 !== 0) count.set(key, BigInt(k * 1000 + round));
      list.set(key, (k + round) % 5 === 0 ? [k] : [...list.get(key) ?? [], round]);
      map.set(`${key}/m${round % 3}`, round);
      map.delete(`${key}/m${(round + 1) % 3}`);
    }
  }
  return { count, list, map };
}

/** Checks that a snapshot has this state, each key once. */
export async function checkUpdates(reader: FormatReader, keys: number, ...runs: readonly number[]): Promise<void> {
  const { ok, bad } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad));
  for (const [state, expected] of Object.entries(stateAfter(keys, runs))) {
    const left = new Map(expected);
    for await (const { key, field, value } of reader.entries({ space: `keyed/${state}` })) {
      const of = field === undefined ? String(key) : `${key}/${field}`;
      assert.deepEqual(value, left.get(of), `${state} of ${of}`);
      assert.isTrue(left.delete(of), `${state} of ${of} is there once`);
    }
    assert.isEmpty([...left.keys()], state);
  }
}
