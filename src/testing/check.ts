/**
 * The assertions of the conformance suites, which bring no test runner, and need none.
 *
 * @module
 */

import { SnapshotError, type SnapshotErrorCode } from "../errors.ts";

/** A test of a suite. */
export interface ConformanceCase {
  /** The sentence that must hold. */
  readonly name: string;
  /** Checks it; rejects if it does not. */
  readonly run: () => Promise<void>;
}

/** Fails unless `holds` is true. */
export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`It should be so, and is not: ${what}`);
}

/** Fails unless both are the same. */
export function same(actual: unknown, expected: unknown, what: string): void {
  check(Object.is(actual, expected), `${what}: ${String(actual)} is ${String(expected)}`);
}

/** Fails unless `work` fails with this code. */
export async function fails(work: () => unknown, code: SnapshotErrorCode): Promise<void> {
  try {
    await work();
  } catch (error) {
    check(error instanceof SnapshotError, `${String(error)} is a SnapshotError`);
    return same(error.code, code, error.message);
  }
  throw new Error(`It should fail with ${code}, and does not`);
}
