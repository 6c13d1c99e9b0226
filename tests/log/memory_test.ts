import { MemoryLog } from "../../mod.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { checkLog } from "../support/log_model.ts";

test("MemoryLog: a model of it", () =>
  checkLog(() => Promise.resolve({ log: new MemoryLog(), reopen: (log) => Promise.resolve(log) }), 300));

test("MemoryLog: what was appended is a copy", async () => {
  const log = new MemoryLog();
  const data = Uint8Array.of(1);
  await log.append([{ index: 1n, term: 1n, data }]);
  data[0] = 2;
  for await (const entry of log.entries(1n)) assert.deepEqual(entry.data, Uint8Array.of(1));
});

test("MemoryLog: who reads while it is purged or reset learns of it", async () => {
  for (const change of [(log: MemoryLog) => log.purge(3n), (log: MemoryLog) => log.reset(9n, 1n)]) {
    const log = new MemoryLog();
    for (let index = 1n; index <= 5n; index++) await log.append([{ index, term: 1n, data: new Uint8Array(1) }]);
    const reader = log.entries(1n)[Symbol.asyncIterator]();
    await reader.next();
    await change(log);
    await rejects(reader.next(), "NOT_FOUND");
  }
});
