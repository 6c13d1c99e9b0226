/**
 * What states check of what they are made of.
 *
 * @module
 */

import { checkKeyCodec, type KeyCodec } from "./codecs/mod.ts";
import { checkBoolean, checkOptions, checkString, integer, listOf, number, required } from "../checks.ts";
import { checkName, MAX_KEY_GROUPS } from "../snapshot/mod.ts";
import type { IncrementalOptions } from "./format/mod.ts";
import { checkRange, type KeyGroupRange } from "./key_groups.ts";

/** The most deltas upon a base: their names have four digits. */
const MAX_DELTAS = 9999;

/** Options of {@linkcode KeyedState}, and of states in databases. */
export interface KeyedStateOptions<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /**
   * How many key groups there are: 1 to 32768, fixed for the life of the state. With so many workers at the most it can be
   * spread. See {@linkcode defaultMaxParallelism}.
   *
   * @default {128}
   */
  readonly maxParallelism?: number;
  /** The key groups that are kept here: see {@linkcode keyGroupRange}. All by default. */
  readonly range?: KeyGroupRange;
  /**
   * What the state is called in snapshots: the directory of its files.
   *
   * @default {"state"}
   */
  readonly name?: string;
  /**
   * Whether a save writes only what changed since the last committed snapshot, and reuses the files of that. Quick, and
   * small; but snapshots that share a file share its fate on a bad disk.
   *
   * @default {false}
   */
  readonly incremental?: boolean | IncrementalOptions;
  /**
   * The names of states that earlier releases of the program declared, and that are dropped: what is loaded loses their
   * entries. A state with entries that is neither declared nor dropped is not loaded; an empty one is no obstacle.
   *
   * @default {[]}
   */
  readonly drop?: readonly string[];
}

/** Checks the options of a state; whether the range fits to the number of key groups, its key space does. */
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

/** Checks whether saves are incremental. */
function checkIncremental(value: boolean | IncrementalOptions, what: string): void {
  if (typeof value !== "object") checkBoolean(value, what);
  else checkOptions(value, { maxShare: number(0), maxDeltas: integer(0, MAX_DELTAS) }, what);
}
