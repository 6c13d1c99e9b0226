/**
 * The conformance suite of logs.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import type { LogStorage } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { check, type ConformanceCase, fails, same } from "./check.ts";

/** An empty log to be tested, and its removal. */
export interface LogUnderTest {
  /** The log. */
  readonly log: LogStorage;
  /** Closes the log and opens it again; absent for a log that keeps nothing. */
  reopen?(): Promise<LogStorage>;
  /** Called in the end. */
  cleanUp(): Promise<void>;
}

/**
 * The suite for logs.
 *
 * @param make makes an empty log
 */
export function logConformance(make: () => Promise<LogUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (log: LogStorage, reopen: () => Promise<LogStorage>) => Promise<void>) =>
    cases.push({
      name,
      async run() {
        const made = await make();
        let { log } = made;
        try {
          await body(log, async () => log = await made.reopen?.() ?? log);
        } finally {
          await log.close();
          await made.cleanUp();
        }
      },
    });

  add("an empty log", async (log) => {
    same(log.firstIndex, 1n, "first");
    same(log.lastIndex, 0n, "last");
    same(log.byteLength, 0, "bytes");
    same(await log.term(0n), 0n, "term of 0");
    same(await log.term(1n), undefined, "term of 1");
    same((await read(log, 1n)).length, 0, "entries");
    await log.append([]);
    await log.purge(100n);
    same(log.firstIndex, 1n, "first after a purge");
  });

  add("what was appended is there", async (first, reopen) => {
    await first.append(entries(1, 200, 1n));
    await first.append([{
      index: 201n,
      term: 5n,
      data: new Uint8Array(0),
      configuration: { peers: ["a"], oldPeers: ["b"] },
    }]);
    const log = await reopen();
    same(log.lastIndex, 201n, "last");
    const all = await read(log, 1n);
    same(all.length, 201, "entries");
    check(all.every(({ index }, i) => index === BigInt(i + 1)), "the indices have no gap");
    same(new TextDecoder().decode(all[149]!.data), "command 150", "data");
    same(all[200]!.configuration?.oldPeers?.join(), "b", "configuration");
    same(all[0]!.configuration, undefined, "configuration of a command");
    same(await log.term(201n), 5n, "term");
    same((await read(log, 199n)).length, 3, "entries from 199");
    same(log.byteLength, all.reduce((sum, { data }) => sum + data.length, 0), "bytes");
  });

  add("gaps and falling terms are refused", async (log) => {
    await log.append(entries(1, 3, 4n));
    await fails(() => log.append(entries(5, 1, 4n)), "MALFORMED");
    await fails(() => log.append(entries(3, 1, 4n)), "MALFORMED");
    await fails(() => log.append(entries(4, 1, 3n)), "MALFORMED");
    await fails(() => log.append([...entries(4, 1, 4n), ...entries(6, 1, 4n)]), "MALFORMED");
    same(log.lastIndex, 3n, "last");
    await log.append(entries(4, 1, 4n));
  });

  add("purge", async (first, reopen) => {
    await first.append(entries(1, 100, 2n));
    await first.purge(60n);
    await first.purge(10n);
    const log = await reopen();
    same(log.firstIndex, 61n, "first");
    same(await log.term(60n), 2n, "term of the last that was purged");
    same(await log.term(59n), undefined, "term of one before");
    await fails(() => read(log, 60n), "NOT_FOUND");
    same((await read(log, 61n)).length, 40, "entries");
    await log.purge(1000n);
    same(log.firstIndex, 101n, "first, when all are purged");
    same(log.lastIndex, 100n, "last, when all are purged");
    same(log.byteLength, 0, "bytes");
    await log.append(entries(101, 1, 2n));
    same(log.lastIndex, 101n, "last");
  });

  add("reset", async (first, reopen) => {
    await first.append(entries(1, 10, 1n));
    await first.reset(1n << 40n, 7n);
    const log = await reopen();
    same(log.firstIndex, (1n << 40n) + 1n, "first");
    same(log.lastIndex, 1n << 40n, "last");
    same(await log.term(1n << 40n), 7n, "term");
    same(log.byteLength, 0, "bytes");
    await fails(() => log.append([{ index: (1n << 40n) + 1n, term: 6n, data: new Uint8Array(1) }]), "MALFORMED");
    await log.append([{ index: (1n << 40n) + 1n, term: 7n, data: new Uint8Array(1) }]);
  });

  add("the highest indices", async (first, reopen) => {
    const high = (1n << 63n) - 3n;
    await first.reset(high, high);
    await first.append([{ index: high + 1n, term: (1n << 63n) - 1n, data: new Uint8Array(1) }]);
    const log = await reopen();
    same((await read(log, high + 1n))[0]!.term, (1n << 63n) - 1n, "term");
  });

  add("entries that are reset or purged while one reads are not read", async (log) => {
    for (const drop of [() => log.purge(8n), () => log.reset(20n, 1n)]) {
      await log.append(entries(Number(log.lastIndex) + 1, Number(10n - log.lastIndex), 1n));
      const reading = log.entries(log.firstIndex)[Symbol.asyncIterator]();
      await reading.next();
      await drop();
      await fails(() => reading.next(), "NOT_FOUND");
    }
  });

  add("a group, for good, if the log knows of groups", async (first, reopen) => {
    if (first.bindGroup === undefined) return;
    const none = first.group;
    await fails(async () => await first.bindGroup!(""), "MALFORMED");
    same(none ?? first.group, undefined, "the group at first");
    await first.bindGroup("users");
    await first.append(entries(1, 3, 1n));
    const log = await reopen();
    same(log.group, "users", "the group");
    await log.bindGroup!("users");
    await fails(async () => await log.bindGroup!("orders"), "FORBIDDEN");
    same(log.group, "users", "the group after another was refused");
    await log.reset(7n, 1n);
    same((await reopen()).group, "users", "the group after a reset");
  });

  add("entries that are appended while one reads", async (log) => {
    await log.append(entries(1, 3, 1n));
    const seen: bigint[] = [];
    for await (const { index } of log.entries(1n)) {
      seen.push(index);
      if (index === 3n && log.lastIndex === 3n) await log.append(entries(4, 2, 1n));
    }
    same(seen.join(), "1,2,3,4,5", "indices");
  });
  return cases;
}

function shown({ index, term, data, time }: LogEntry): string {
  return `${index} ${term} ${data} ${time}`;
}

function entries(from: number, count: number, term: bigint): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: BigInt(from + i),
    term,
    data: new TextEncoder().encode(`command ${from + i}`),
  }));
}

async function read(log: LogStorage, from: bigint): Promise<LogEntry[]> {
  const all: LogEntry[] = [];
  for await (const entry of log.entries(from)) all.push(entry);
  if (log.batches !== undefined) {
    const batched: LogEntry[] = [];
    for await (const entries of log.batches(from)) batched.push(...entries);
    same(batched.map(shown).join(), all.map(shown).join(), "entries, several at a time");
  }
  return all;
}
