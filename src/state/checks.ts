/**
 * What states check of what they are made of.
 *
 * @module
 */

import {
  able,
  checkBoolean,
  checkBytes,
  checkIndex,
  checkOptions,
  checkString,
  checkText,
  integer,
  listOf,
  number,
  required,
} from "../checks.ts";
import { checkName, MAX_KEY_GROUPS } from "../snapshot/mod.ts";
import type { IncrementalOptions } from "./chain.ts";
import { checkRange, type KeyGroupRange } from "./key_groups.ts";
import type { KeyedStateOptions } from "./keyed_state.ts";
import type { Configuration, LogEntry } from "./machine.ts";

/** The most deltas upon a base: their names have four digits. */
const MAX_DELTAS = 9999;

/** Checks a codec. */
export function checkCodec(value: unknown, what: string): void {
  able("a Codec", "encode", "decode")(value, what);
  checkString((value as { readonly name?: unknown }).name, `${what}.name`);
}

/** Checks a codec for keys. */
export function checkKeyCodec(value: unknown, what: string): void {
  checkCodec(value, what);
  able("a KeyCodec", "hash", "text", "ofText")(value, what);
}

/** Checks the members that an entry says, if it says any. */
export function checkConfiguration(value: unknown, what: string): void {
  if (value === undefined) return;
  checkOptions(value as Configuration, { peers: required(listOf(checkText)), oldPeers: listOf(checkText) }, what);
}

/** Checks an entry of a log. */
export function checkEntry(entry: LogEntry, what: string): void {
  checkOptions<LogEntry>(entry, {
    index: required(checkIndex),
    term: required(checkIndex),
    data: required(checkBytes),
    configuration: checkConfiguration,
  }, what);
}

/** Checks a database for a `StoredState`. */
export function checkEngine(value: unknown, what: string): void {
  able("an Engine", "getMany", "entries", "write", "clear", "view", "close", "codeOf")(value, what);
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
