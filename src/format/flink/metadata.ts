/**
 * Flink's `_metadata`: what a checkpoint or savepoint is made of.
 *
 * ```text
 * magic 0x4960672d, version i32, id i64
 * n i32, n master states   = magic 0xc96b1696, length i32, { version i32, name utf, length i32, bytes }
 * n i32, n operators       = { name utf, uid utf }(from 5) id 16 bytes, parallelism i32, max. parallelism i32,
 *                            coordinator handle (from 3; a number that is unused in 2), n i32, n subtasks
 *   n is negative where all are finished; an index that is negative is a subtask that is finished
 *   subtask                = index i32, { unused i64, i32 }(2) twice operator handle, twice keyed handle,
 *                            { n i32, n input channels, n i32, n result partitions }(from 3)
 * properties               serialised by Java (from 4)
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { toHex } from "../../stream/mod.ts";
import {
  type Handle,
  type KeyedHandle,
  keyedHandle,
  type OperatorHandle,
  operatorHandle,
  streamHandle,
} from "./handles.ts";
import { JavaCursor } from "./java.ts";

/** The first four bytes. */
export const MAGIC = 0x4960_672d;
const MASTER_MAGIC = 0xc96b_1696;
const [OLDEST, NEWEST] = [2, 6];
/** The first bytes of an object that Java serialised. */
const JAVA_OBJECT = 0xaced_0005;

/** The state of one of the workers of an operator. */
export interface Subtask {
  /** Which one. */
  readonly index: number;
  /** It has ended, and so has no state. */
  readonly finished: boolean;
  /** Operator state: of Flink, and of the operator's own format. */
  readonly operator: readonly OperatorHandle[];
  readonly rawOperator: readonly OperatorHandle[];
  /** Keyed state: of Flink, and of the operator's own format. */
  readonly keyed: readonly KeyedHandle[];
  readonly rawKeyed: readonly KeyedHandle[];
  /** What was on the way, in an unaligned checkpoint. */
  readonly channels: readonly Handle[];
}

/** An operator of the job. */
export interface Operator {
  /** Its identifier, in hexadecimal digits. */
  readonly id: string;
  /** Its name and its uid, from version 5 on. */
  readonly name?: string;
  readonly uid?: string;
  readonly parallelism: number;
  readonly maxParallelism: number;
  /** All of it has ended. */
  readonly finished: boolean;
  /** The coordinator's state. */
  readonly coordinator?: Handle;
  readonly subtasks: readonly Subtask[];
}

/** All that `_metadata` says. */
export interface Metadata {
  readonly version: number;
  readonly checkpointId: bigint;
  readonly masters: readonly { readonly name: string; readonly version: number; readonly size: number }[];
  readonly operators: readonly Operator[];
  /** What it is, from version 4 on. */
  readonly kind?: "checkpoint" | "savepoint";
}

/**
 * The version and the identifier, from its first 16 bytes.
 *
 * @throws {SnapshotError} `MALFORMED`, or `UNSUPPORTED` for a version that is not known
 */
export function readHead(cursor: JavaCursor, what: string): { version: number; checkpointId: bigint } {
  if (cursor.u32() !== MAGIC) throw cursor.malformed("it does not begin as Flink's metadata");
  const version = cursor.i32();
  if (version < OLDEST || version > NEWEST) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `${JSON.stringify(what)} has the version ${version}; ${OLDEST} to ${NEWEST} are known`,
      { file: what, expected: NEWEST, actual: version },
    );
  }
  const checkpointId = cursor.i64();
  if (checkpointId < 0n) throw cursor.malformed(`a checkpoint has the identifier ${checkpointId}`);
  return { version, checkpointId };
}

/** Reads all of it. */
export function decodeMetadata(bytes: Uint8Array, what: string): Metadata {
  const cursor = new JavaCursor(bytes, what);
  const { version, checkpointId } = readHead(cursor, what);
  const masters = listOf(cursor, () => masterOf(cursor, what));
  const operators = listOf(cursor, () => operatorOf(cursor, version));
  const kind = version >= 4 ? kindOf(cursor) : undefined;
  if (cursor.left > 0) throw cursor.malformed(`${cursor.left} bytes follow its end`);
  return { version, checkpointId, masters, operators, ...(kind !== undefined && { kind }) };
}

function listOf<T>(cursor: JavaCursor, one: () => T): T[] {
  const found: T[] = [];
  for (let left = cursor.count(); left > 0; left--) found.push(one());
  return found;
}

function masterOf(cursor: JavaCursor, what: string): Metadata["masters"][number] {
  if (cursor.u32() !== MASTER_MAGIC) throw cursor.malformed("the state of a master does not begin as one");
  const inside = new JavaCursor(cursor.block(), what);
  const [version, name] = [inside.i32(), inside.utf()];
  const size = inside.block().length;
  if (inside.left > 0) throw inside.malformed("the state of a master is longer than it says");
  return { name, version, size };
}

function operatorOf(cursor: JavaCursor, version: number): Operator {
  const [name, uid] = version >= 5 ? [cursor.utf(), cursor.utf()] : ["", ""];
  const id = toHex(cursor.bytes(16));
  const [parallelism, maxParallelism] = [cursor.i32(), cursor.i32()];
  if (parallelism < 1 || maxParallelism < 1 || maxParallelism > 32_768 || parallelism > maxParallelism) {
    throw cursor.malformed(`an operator has the parallelism ${parallelism} of ${maxParallelism}`);
  }
  let coordinator: Handle | undefined;
  if (version >= 3) coordinator = streamHandle(cursor);
  else cursor.i32();
  const before = cursor.at;
  const finished = cursor.i32() < 0;
  if (!finished) cursor.at = before;
  return {
    id,
    ...(name !== "" && { name }),
    ...(uid !== "" && { uid }),
    ...{ parallelism, maxParallelism, finished },
    ...(coordinator !== undefined && { coordinator }),
    subtasks: finished ? [] : listOf(cursor, () => subtaskOf(cursor, version, parallelism)),
  };
}

function subtaskOf(cursor: JavaCursor, version: number, parallelism: number): Subtask {
  const number = cursor.i32();
  const finished = version >= 3 && number < 0;
  const index = finished ? -(number + 1) : number;
  if (index < 0 || index >= parallelism) throw cursor.malformed(`there is a subtask ${index} of ${parallelism}`);
  const none = { operator: [], rawOperator: [], keyed: [], rawKeyed: [], channels: [] };
  if (finished) return { index, finished, ...none };
  if (version === 2) {
    cursor.i64();
    if (cursor.i32() > 0) throw cursor.malformed("it has state of before Flink 1.2");
  }
  const operators = () => cursor.i32() === 0 ? [] : [operatorHandle(cursor)].filter((it) => it !== undefined);
  const keyeds = () => [keyedHandle(cursor)].filter((it) => it !== undefined);
  const [operator, rawOperator, keyed, rawKeyed] = [operators(), operators(), keyeds(), keyeds()];
  const channels = version < 3
    ? []
    : [1, 2].flatMap(() => listOf(cursor, () => channelOf(cursor, version)).filter((it) => it !== undefined));
  return { index, finished, operator, rawOperator, keyed, rawKeyed, channels };
}

function channelOf(cursor: JavaCursor, version: number): Handle | undefined {
  const type = version >= 6 ? cursor.u8() : 1;
  if (type < 1 || type > 4) throw cursor.malformed(`the state of a channel has the type ${type}`);
  cursor.i32(); // the subtask
  if (type <= 2) {
    cursor.bytes(8); // gate and channel, or partition and subpartition
    listOf(cursor, () => cursor.i64());
  }
  cursor.i64();
  const handle = streamHandle(cursor);
  if (type > 2) cursor.block(); // the offsets
  return handle;
}

/** Java's own format is not read; but its classes are named in it. */
function kindOf(cursor: JavaCursor): "checkpoint" | "savepoint" {
  if (cursor.left < 8 || cursor.u32() !== JAVA_OBJECT) throw cursor.malformed("its properties are not there");
  const text = new TextDecoder("windows-1252").decode(cursor.bytes(cursor.left));
  return text.includes("checkpoint.SavepointType") ? "savepoint" : "checkpoint";
}
