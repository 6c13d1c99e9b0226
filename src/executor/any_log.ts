/**
 * Logs of either kind: a replica's own, and one that it shares with others.
 *
 * @module
 */

import type { LogStorage, SharedLog } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";

/** The log of a replica. */
export type AnyLog = LogStorage | SharedLog;

/** Reports whether a log is a shared one. */
export function isShared(log: AnyLog): log is SharedLog {
  return "follow" in log;
}

/** The entries that a log has from an index on. */
export function entriesOf(log: AnyLog, from: bigint): AsyncIterable<LogEntry> {
  return isShared(log) ? entriesNow(log, from) : log.entries(from);
}

/** The entries that a log of one's own has from an index on, as many at a time as it reads at once. */
export function batchesOf(log: LogStorage, from: bigint): AsyncIterable<readonly LogEntry[]> {
  return log.batches?.(from) ?? oneByOne(log, from);
}

async function* oneByOne(log: LogStorage, from: bigint): AsyncGenerator<readonly LogEntry[], void, undefined> {
  for await (const entry of log.entries(from)) yield [entry];
}

async function* entriesNow(log: SharedLog, from: bigint): AsyncGenerator<LogEntry, void, undefined> {
  await log.refresh();
  const last = log.lastIndex;
  if (from === last + 1n) return;
  for await (const entries of log.follow(from, new AbortController().signal)) {
    for (const entry of entries) {
      if (entry.index > last) return;
      yield entry;
    }
    if (entries.at(-1)?.index === last) return;
  }
}
