/**
 * The options of states, and their checks.
 *
 * @module
 */

import { checkKeyCodec, type KeyCodec } from "./codecs/mod.ts";
import { checkBoolean, checkOptions, checkString, integer, listOf, number, required } from "../checks.ts";
import { checkName, MAX_KEY_GROUPS } from "../snapshot/mod.ts";
import type { IncrementalOptions } from "./format/mod.ts";
import { checkRange, type KeyGroupRange } from "./key_groups.ts";

/** The most deltas upon a base, since their names have four digits. */
const MAX_DELTAS = 9999;

/**
 * Options of {@linkcode KeyedState}, and of states in databases.
 *
 * @category State
 */
export interface KeyedStateOptions<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /**
   * The number of key groups: 1 to 32768, fixed for the life of the state. The state can be spread over at most so many
   * workers. See {@linkcode defaultMaxParallelism}.
   *
   * @default {128}
   */
  readonly maxParallelism?: number;
  /** The key groups that are kept here, by default all: see {@linkcode keyGroupRange}. */
  readonly range?: KeyGroupRange;
  /**
   * The name of the state in snapshots: the directory of its files.
   *
   * @default {"state"}
   */
  readonly name?: string;
  /**
   * If set, a save writes only the changes since the last committed snapshot, and reuses the files of that snapshot.
   * Such saves are quick and small; but snapshots that share a file are damaged together if a bad disk damages it.
   *
   * @default {false}
   */
  readonly incremental?: boolean | IncrementalOptions;
  /**
   * The names of dropped states, which earlier releases of the program declared: loading a snapshot discards their
   * entries. A snapshot with entries of a state that is neither declared nor dropped is not loaded.
   *
   * @default {[]}
   */
  readonly drop?: readonly string[];
}

/** Checks the options of a state. `KeySpace` checks that the range fits the number of key groups. */
export function checkStateOptions<K>(options: KeyedStateOptions<K>): KeyedStateOptions<K> {
  return checkOptions<KeyedStateOptions<K>>(options, {
    keys: required(checkKeyCodec),
    maxParallelism: integer(1, MAX_KEY_GROUPS),
    range: (value) => checkRange(value as KeyGroupRange, MAX_KEY_GROUPS),
    name: (value) => checkName(value as string),
    drop: listOf(checkString),
    incremental: (value, what) => checkIncremental(value as boolean | IncrementalOptions, what),
  });
}

/** Checks the option `incremental`. */
function checkIncremental(value: boolean | IncrementalOptions, what: string): void {
  if (typeof value !== "object") checkBoolean(value, what);
  else checkOptions(value, { maxShare: number(0), maxDeltas: integer(0, MAX_DELTAS) }, what);
}
