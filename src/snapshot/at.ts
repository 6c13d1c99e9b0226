/**
 * The choice of a snapshot to open: one by its index, or the newest at or before an index or a time.
 *
 * @module
 */

import { checkIndex, checkOptions, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { SnapshotMeta } from "./meta.ts";

/** A choice of `SnapshotStorage.open`. */
export interface SnapshotAt {
  /**
   * The newest snapshot at or before this is chosen: an index (`bigint`), or a time in milliseconds since 1970
   * (`number`), which is that of its `createdAt`. A snapshot that says no time is at none. If absent, the newest.
   */
  readonly at?: bigint | number | undefined;
}

/** Checks the `at` of a {@linkcode SnapshotAt}. */
export function checkAt(value: unknown, what: string): void {
  if (typeof value === "bigint") return void checkIndex(value, what);
  if (typeof value === "number" && value >= 0) return;
  throw unfit(what, "an index (a bigint), or a time (a number of milliseconds since 1970)", value);
}

/** Checks what is asked of a storage. */
export function checkChoice(choice: bigint | SnapshotAt | undefined): void {
  if (choice === undefined) return;
  if (typeof choice === "object") checkOptions(choice, { at: checkAt }, "index");
  else checkIndex(choice, "index");
}

/** Reports whether a snapshot is at or before an index or a time. */
function isAtOrBefore(
  meta: Pick<SnapshotMeta, "lastIncludedIndex" | "createdAt">,
  at: bigint | number,
): boolean {
  if (typeof at === "bigint") return meta.lastIncludedIndex <= at;
  return meta.createdAt !== undefined && meta.createdAt <= at;
}

/** Reports whether a snapshot is one that may be chosen. */
export function isChosen(
  meta: Pick<SnapshotMeta, "lastIncludedIndex" | "createdAt">,
  choice: bigint | SnapshotAt | undefined,
): boolean {
  if (typeof choice === "bigint") return meta.lastIncludedIndex === choice;
  return choice?.at === undefined || isAtOrBefore(meta, choice.at);
}

/** The error for a choice that no snapshot fits, here or at an address. */
export function noneChosen(choice: bigint | SnapshotAt | undefined, source?: string): SnapshotError {
  const where = source === undefined ? "here" : `at ${source}`;
  const fields = source === undefined ? {} : { source };
  if (typeof choice === "bigint") {
    return new SnapshotError("NOT_FOUND", `There is no snapshot ${choice} ${where}`, { ...fields, index: choice });
  }
  const at = choice?.at;
  if (at === undefined) return new SnapshotError("NOT_FOUND", `There is no snapshot ${where}`, fields);
  return new SnapshotError(
    "NOT_FOUND",
    typeof at === "bigint"
      ? `There is no snapshot at or before index ${at} ${where}`
      : `There is no snapshot ${where} that was taken at or before ${timeOf(at)}`,
    { ...fields, expected: at },
  );
}

function timeOf(ms: number): string {
  return Number.isFinite(ms) && ms <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}
