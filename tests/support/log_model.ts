// A log held against a plain array, by any sequence of calls.

import fc from "fast-check";
import type { LogEntry, LogStorage } from "../../mod.ts";
import { assert, rejects } from "./harness.ts";

type Step =
  | { readonly do: "append"; readonly count: number; readonly newTerm: boolean }
  | { readonly do: "purge" | "reset"; readonly by: number }
  | { readonly do: "refuse"; readonly skip: number }
  | { readonly do: "reopen" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("append" as const), count: fc.nat(5), newTerm: fc.boolean() }),
  fc.record({ do: fc.constant("purge" as const), by: fc.integer({ min: -3, max: 12 }) }),
  fc.record({ do: fc.constant("reset" as const), by: fc.integer({ min: -3, max: 12 }) }),
  fc.record({ do: fc.constant("refuse" as const), skip: fc.constantFrom(-2, -1, 1, 2) }),
  fc.record({ do: fc.constant("reopen" as const) }),
);

/** Checks a log that is new each time. */
export async function checkLog(
  make: () => Promise<{ log: LogStorage; reopen: (log: LogStorage) => Promise<LogStorage> }>,
  numRuns: number,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const made = await make();
      let { log } = made;
      let entries: LogEntry[] = [];
      let before = { index: 0n, term: 0n };
      for (const step of steps) {
        const last = entries.at(-1) ?? before;
        switch (step.do) {
          case "append": {
            const added = Array.from({ length: step.count }, (_, i) => entry(last.index, last.term, step.newTerm, i));
            await log.append(added);
            entries.push(...added);
            break;
          }
          case "refuse": {
            const wrong = { ...entry(last.index, last.term, false, 0), index: last.index + 1n + BigInt(step.skip) };
            await rejects(log.append([entry(last.index - 1n, last.term, false, 0), wrong]), "MALFORMED");
            await rejects(log.append([wrong]), "MALFORMED");
            break;
          }
          case "purge": {
            const index = before.index + BigInt(step.by);
            if (index < 0n) break;
            await log.purge(index);
            before = entries.findLast((it) => it.index <= index) ?? before;
            entries = entries.filter((it) => it.index > index);
            break;
          }
          case "reset": {
            const index = before.index + BigInt(step.by);
            if (index < 0n) break;
            before = { index, term: last.term };
            entries = [];
            await log.reset(before.index, before.term);
            break;
          }
          case "reopen":
            log = await made.reopen(log);
        }
        await same(log, entries, before);
      }
      await log.close();
    }),
    { numRuns },
  );
}

function entry(after: bigint, term: bigint, newTerm: boolean, i: number): LogEntry {
  const index = after + 1n + BigInt(i);
  return {
    index,
    term: newTerm ? term + 1n : term,
    data: new Uint8Array(Number(index % 3n)).fill(Number(index)),
    ...(index % 4n === 0n && { configuration: { peers: [`${index}`] } }),
  };
}

async function same(log: LogStorage, entries: LogEntry[], before: Pick<LogEntry, "index" | "term">): Promise<void> {
  assert.equal(log.firstIndex, before.index + 1n);
  assert.equal(log.lastIndex, entries.at(-1)?.index ?? before.index);
  assert.equal(log.byteLength, entries.reduce((sum, { data }) => sum + data.length, 0));
  if (before.index > 0n) assert.equal(await log.term(before.index - 1n), undefined);
  assert.equal(await log.term(before.index), before.term);
  assert.equal(await log.term(log.lastIndex + 1n), undefined);
  for (const { index, term } of entries) assert.equal(await log.term(index), term);
  const read: LogEntry[] = [];
  for await (const entry of log.entries(log.firstIndex)) read.push({ ...entry, data: new Uint8Array(entry.data) });
  assert.deepEqual(read, entries);
  await rejects(log.entries(before.index)[Symbol.asyncIterator]().next(), "NOT_FOUND");
}
