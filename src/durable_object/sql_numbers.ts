/**
 * Numbers in a Durable Object's storage, which takes and gives doubles, and keeps integers of 64 bits.
 *
 * @module
 */

import { damaged } from "../log/mod.ts";

/** A number as the storage gives it in text. */
export function integerOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^-?\d{1,19}$/.test(value) ? BigInt(value) : undefined;
}

/** How many bytes there are, or were. */
export function totalOf(value: unknown, name: string, least = 0): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw damaged(name, `the bytes of its entries are ${String(value)}`);
}
