/**
 * The heads of Flink's state files, which describe the states that are in them.
 *
 * ```text
 * keyed    = version i32, compressed bool, key serializer (2 i32, snapshot), n i16, n states
 * operator = version i32, { compressed bool }(from 6), n i16, n states, n i16, n broadcast states
 * state    = name utf, type i32, n i32, n { utf, utf }, n i32, n { name utf, 2 i32, snapshot }
 * ```
 *
 * The first state, or key group, begins where the head ends.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { JavaCursor } from "./java.ts";
import type { Serializer } from "./serializer.ts";
import { readSerializer } from "./serializers.ts";
import { STREAM } from "./snappy.ts";

/** The types of states, by Flink's numbers. */
const TYPES = ["key-value", "operator", "broadcast", "priority-queue"] as const;
const SNAPSHOT_VERSION = 2;
/** The versions of the two heads that are known. */
const [KEYED, OPERATOR] = [[6, 6], [5, 6]] as const;
const WITH_COMPRESSION = 6;

/** A state that a head describes. */
export interface State {
  readonly name: string;
  readonly type: typeof TYPES[number];
  /** Flink's name of what it is: `VALUE`, `LIST`, `MAP`, `REDUCING`, `AGGREGATING`. */
  readonly kind: string;
  /** The serializers, by Flink's names of them. */
  readonly serializers: ReadonlyMap<string, Serializer>;
}

/** The head of a file of operator state. */
export interface OperatorHead {
  readonly compressed: boolean;
  readonly states: readonly State[];
  /** After a serializer that is not known, what follows it cannot be found: these are not all. */
  readonly partial: boolean;
}

/** The head of a file of keyed state. */
export interface KeyedHead extends OperatorHead {
  readonly key: Serializer;
}

function versionOf(cursor: JavaCursor, [oldest, newest]: readonly [number, number]): number {
  const version = cursor.i32();
  if (version >= oldest && version <= newest) return version;
  if (version > newest && version < 100) {
    throw new SnapshotError("UNSUPPORTED", `A state is written in version ${version}; up to ${newest} are known`, {
      expected: newest,
      actual: version,
    });
  }
  throw cursor.malformed(`a state is written in version ${version}`);
}

function serializerOf(cursor: JavaCursor): Serializer {
  const version = cursor.i32();
  if (version !== SNAPSHOT_VERSION) throw cursor.malformed(`a serializer is described in version ${version}`);
  return readSerializer(cursor);
}

function stateOf(cursor: JavaCursor, seen: Serializer[]): State {
  const name = cursor.utf();
  const type = TYPES[cursor.i32()];
  if (type === undefined) throw cursor.malformed(`the state ${JSON.stringify(name)} is of no known type`);
  const options = new Map<string, string>();
  for (let left = cursor.count(); left > 0; left--) options.set(cursor.utf(), cursor.utf());
  const serializers = new Map<string, Serializer>();
  for (let left = cursor.count(); left > 0; left--) {
    const of = cursor.utf();
    const serializer = serializerOf(cursor);
    seen.push(serializer);
    serializers.set(of, serializer);
  }
  return { name, type, kind: options.get("KEYED_STATE_TYPE") ?? type, serializers };
}

/** True if it, or a part of it, is not known, so that its body may have had another length. */
function isUnknown({ read, parts }: Serializer): boolean {
  return parts.length > 0 ? parts.some(isUnknown) : read === undefined;
}

/** Reads lists of states up to the end; one after a serializer that is not known may not be found. */
function statesOf(cursor: JavaCursor, lists: number, seen: Serializer[]): Omit<OperatorHead, "compressed"> {
  const states: State[] = [];
  try {
    for (let list = 0; list < lists; list++) {
      for (let left = cursor.u16(); left > 0; left--) states.push(stateOf(cursor, seen));
    }
    if (cursor.left === 0) return { states, partial: false };
    throw cursor.malformed(`it is ${cursor.left} bytes longer than what it describes`);
  } catch (error) {
    if (!seen.some(isUnknown)) throw error;
    const end = states.findIndex(({ serializers }) => [...serializers.values()].some(isUnknown));
    const found = seen[0] !== undefined && lists === 1 && isUnknown(seen[0]) ? 0 : end < 0 ? states.length : end + 1;
    return { states: states.slice(0, found), partial: true };
  }
}

/** Reads the head of keyed state, which is all of the bytes. */
export function keyedHead(cursor: JavaCursor): KeyedHead {
  versionOf(cursor, KEYED);
  const compressed = cursor.bool();
  const key = serializerOf(cursor);
  return { compressed, key, ...statesOf(cursor, 1, [key]) };
}

/** Reads the head of operator state, which is all of the bytes but for the beginning of a stream of Snappy. */
export function operatorHead(bytes: Uint8Array, what: string): OperatorHead {
  const start = new JavaCursor(bytes, what);
  const compressed = versionOf(start, OPERATOR) >= WITH_COMPRESSION && start.bool();
  const cursor = new JavaCursor(compressed ? bytes.subarray(0, -STREAM.length) : bytes, what, start.at);
  return { compressed, ...statesOf(cursor, 2, []) };
}
