/**
 * What an opening counts of the entries of an SQLite log.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";
import { yieldTurn } from "../async/mod.ts";

/** Entries counted at once when a log is opened: others get their turn in between. */
const COUNT_BATCH = 5000;

/** What the entries of a log come to. */
export interface Totals {
  readonly count: bigint;
  /** Bytes of all entries' data. */
  readonly bytes: number;
  /** Bytes of the longest entry's. */
  readonly longest: number;
}

/** Counts the entries of a database that nobody else can write to. */
export async function totalsOf(database: DatabaseSync): Promise<Totals> {
  const statement = database.prepare(`
    SELECT count(*) AS count, max(idx) AS last, ifnull(sum(bytes), 0) AS bytes, ifnull(max(bytes), 0) AS longest
    FROM (SELECT idx, length(data) AS bytes FROM entries WHERE idx > ? ORDER BY idx LIMIT ${COUNT_BATCH})
  `);
  statement.setReadBigInts(true);
  let [count, bytes, longest] = [0n, 0n, 0n];
  for (let last = -(2n ** 63n);;) {
    const counted = statement.get(last) as Record<"count" | "last" | "bytes" | "longest", bigint>;
    if (counted.count === 0n) break;
    count += counted.count;
    bytes += counted.bytes;
    if (counted.longest > longest) longest = counted.longest;
    last = counted.last;
    if (counted.count < COUNT_BATCH) break;
    await yieldTurn();
  }
  return { count, bytes: Number(bytes), longest: Number(longest) };
}
