/**
 * Numbers in a Durable Object's storage, which takes and gives doubles, and keeps integers of 64 bits.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { MAX_INDEX } from "../snapshot/mod.ts";
import { damaged } from "./sqlite_rows.ts";

/** Refuses what SQLite would not keep as an integer, and not say so. */
export function checkKept(index: bigint, term: bigint): void {
  if (index <= MAX_INDEX && term <= MAX_INDEX) return;
  throw new SnapshotError("MALFORMED", `Entry ${index} of term ${term} is beyond ${MAX_INDEX}`, {
    index,
    expected: MAX_INDEX,
    actual: index > MAX_INDEX ? index : term,
  });
}

/** A number as the storage gives it in text. */
export function integerOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^-?\d{1,19}$/.test(value) ? BigInt(value) : undefined;
}

/** How many bytes there are, or were. */
export function totalOf(value: unknown, name: string, least = 0): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw damaged(name, `the bytes of its entries are ${String(value)}`);
}
