// What can be fuzzed, and what a case gives.

import type { SnapshotErrorCode } from "../../mod.ts";
import { SnapshotError } from "../../mod.ts";
import type { Random } from "../support/random.ts";

/**
 * Makes one hostile input and tries it. Returns if it was taken and all laws hold, throws a `SnapshotError` if it was
 * refused; whatever else it throws is a finding.
 */
export type Attempt = (random: Random) => void | Promise<void>;

/** Something that takes input from anybody. */
export interface Target {
  readonly name: string;
  /** How many cases of a thousand are its own: the cheap ones get the most. */
  readonly share: number;
  /** The codes that a refusal can have. Any other is a finding: damage that is called "UNAVAILABLE" is tried again for ever. */
  readonly codes: readonly SnapshotErrorCode[];
  /** Bytes that a case may ask for in all, in arrays; by default {@linkcode MOST_BYTES}. */
  readonly mostBytes?: number;
  /** Makes what all cases share: a corpus, mostly. */
  prepare(): Attempt | Promise<Attempt>;
}

/** Bytes that a case may ask for in all. */
export const MOST_BYTES: number = 16 * 1024 * 1024;

/** Fails unless a law holds. */
export function law(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Error(`Law broken: ${message}`);
}

/** Does what must not fail, as the input was taken: a refusal is a finding. */
export async function must<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    throw new Error(`Law broken: ${what}, and that fails with ${error.code}: ${error.message}`, { cause: error });
  }
}
