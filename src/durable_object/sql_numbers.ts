/**
 * Numbers of a Durable Object's storage, which takes and gives doubles, and keeps 64-bit integers.
 *
 * @module
 */

import { damaged } from "../log/mod.ts";

/** Parses an integer that the storage gives as text. */
export function integerOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^-?\d{1,19}$/.test(value) ? BigInt(value) : undefined;
}

/** Checks a count of bytes. */
export function totalOf(value: unknown, name: string, least = 0): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw damaged(name, `the bytes of its entries are ${String(value)}`);
}
