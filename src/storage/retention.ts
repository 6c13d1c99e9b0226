/**
 * The choice of the snapshots that a storage keeps.
 *
 * @module
 */

import { checkOptions, type Checks, duration, has, integer, unfit } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import type { SnapshotInfo } from "../snapshot/mod.ts";

/** The snapshots that are kept, if nothing else is said. */
const DEFAULT_COUNT = 2;

/** Snapshots that are kept by their number and their age. */
export interface RetentionLimits {
  /**
   * The number of snapshots that are kept however old they are, 1 or more.
   *
   * @default {2}
   */
  readonly count?: number;
  /**
   * Milliseconds: snapshots that were taken at most so long before the newest are kept beside those, however many they
   * are. Their `createdAt` says when, and no clock is asked: what destroys does not hang on that.
   *
   * @default {0}
   */
  readonly age?: number;
}

/**
 * A retention of the caller's own: is given the good snapshots, newest first, and returns those that are kept; the
 * newest stays in any case. It is called in each commit, and when a reader is closed, and must be quick. If it throws,
 * or returns anything else than some of what it was given, nothing is removed, and `onWarning` is told.
 */
export type RetentionFunction = (snapshots: readonly SnapshotInfo[]) => Iterable<SnapshotInfo>;

/** Checks the option `retain`. */
export function checkRetain(value: unknown, what: string): void {
  if (typeof value === "function") return;
  if (typeof value === "number") return void integer(1)(value, what);
  const expected = "an integer, 1 or more, or limits (`{ count }`, `{ age }` or both), or a function";
  if (typeof value !== "object" || value === null) throw unfit(what, expected, value);
  const checks: Checks<RetentionLimits> = { count: integer(1), age: duration() };
  const { count, age } = checkOptions<RetentionLimits>(value, checks, what);
  if (count === undefined && age === undefined) throw unfit(what, expected, value);
}

/** Decides which snapshots are too old. */
export class Retention {
  /** The number of snapshots that are always kept. */
  readonly count: number;
  /** True if the number of newer snapshots alone decides: nothing else about them need be known. */
  readonly isCount: boolean;
  readonly #age: number;
  readonly #choose: RetentionFunction | undefined;
  readonly #warn: (error: SnapshotError) => void;

  /**
   * @param retain the option
   * @param warn is told of a function that fails
   */
  constructor(
    retain: number | RetentionLimits | RetentionFunction | undefined,
    warn: (error: SnapshotError) => void,
  ) {
    const limits: RetentionLimits = typeof retain === "object" ? retain : {};
    const { count = DEFAULT_COUNT, age = 0 } = limits;
    this.count = typeof retain === "number" ? retain : typeof retain === "function" ? 1 : count;
    this.#age = age;
    this.#choose = typeof retain === "function" ? retain : undefined;
    this.isCount = this.#choose === undefined && age === 0;
    this.#warn = warn;
  }

  /**
   * Returns those of the snapshots that are kept: the newest is one of them.
   *
   * @param snapshots the good ones, newest first
   * @param infoOf describes one
   */
  kept<T>(snapshots: readonly T[], infoOf: (snapshot: T) => SnapshotInfo): readonly T[] {
    if (this.isCount || snapshots.length <= 1) return snapshots.slice(0, this.count);
    const infos = snapshots.map(infoOf);
    if (this.#choose === undefined) {
      const young = this.#young(infos);
      return snapshots.filter((_, i) => i < this.count || young[i]);
    }
    const chosen = this.#chosen(infos);
    return snapshots.filter((_, i) => i === 0 || chosen.has(infos[i]!.meta.lastIncludedIndex));
  }

  /** Whether each is young: one that says no time is not older than is known, which is the age of the next newer. */
  #young(infos: readonly SnapshotInfo[]): boolean[] {
    let last = infos.find(({ meta }) => meta.createdAt !== undefined)?.meta.createdAt ?? 0;
    const newest = last;
    return infos.map(({ meta }) => newest - (last = meta.createdAt ?? last) <= this.#age);
  }

  #chosen(infos: readonly SnapshotInfo[]): ReadonlySet<bigint> {
    const all = new Set(infos.map(({ meta }) => meta.lastIncludedIndex));
    try {
      const returned: unknown = this.#choose!(infos);
      if (!has(returned, Symbol.iterator, "function")) {
        throw unfit("What `retain` returns", "a list of snapshots that it was given", returned);
      }
      const chosen = new Set<bigint>();
      for (const snapshot of returned as Iterable<SnapshotInfo>) {
        const index = snapshot?.meta?.lastIncludedIndex;
        if (!all.has(index)) throw unfit("What `retain` returns", "some of the snapshots that it was given", snapshot);
        chosen.add(index);
      }
      if (chosen.size > 0) return chosen;
      throw new SnapshotError("MALFORMED", "`retain` returned no snapshot to keep");
    } catch (error) {
      this.#warn(
        new SnapshotError(
          error instanceof SnapshotError ? error.code : "MALFORMED",
          `The function \`retain\` failed, and no snapshot is removed: ${messageOf(error)}`,
          { cause: error },
        ),
      );
      return all;
    }
  }
}
