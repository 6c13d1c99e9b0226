// Metadata of Flink with as many states as are asked for: those of an operator of a fixture, over and over, each inside
// of the metadata, as Flink keeps what is small.

import { readFileSync } from "node:fs";
import { decodeMetadata } from "../../src/format/flink/metadata.ts";
import { concat } from "../../src/stream/mod.ts";

const FIXTURE = "tests/fixtures/flink/new-stateful-udf-migration-itcase-flink1.20-hashmap-checkpoint";
const MAGIC = 0x4960_672d;

/** Bytes as Java's `DataOutput` writes them: numbers of 8, 32 and 64 bits, and bytes. */
const u8 = (value: number) => Uint8Array.of(value);
const i32 = (value: number) => new Uint8Array(new Int32Array([value]).buffer).reverse();
const i64 = (value: number) => concat([i32(Math.floor(value / 2 ** 32)), i32(value | 0)]);

/** A handle of bytes that are in it. */
function inline(bytes: Uint8Array): Uint8Array {
  return concat([u8(1), Uint8Array.of(0, 1, 0x78), i32(bytes.length), bytes]);
}

/** The metadata. */
export function flinkMetadata(states: number): Uint8Array {
  const { operators } = decodeMetadata(new Uint8Array(readFileSync(`${FIXTURE}/_metadata`)), "_metadata");
  const { parallelism, maxParallelism, subtasks } = operators.find(({ subtasks }) =>
    subtasks.length > 1 && subtasks.every(({ keyed }) => keyed.length === 1)
  )!;
  const tasks = subtasks.map(({ index, keyed: [keyed] }) => {
    if (keyed?.kind !== "groups" || keyed.handle === undefined || "inline" in keyed.handle) {
      throw new Error("The fixture has another kind of state");
    }
    const { first, count, offsets, handle: { path } } = keyed;
    const bytes = new Uint8Array(readFileSync(`${FIXTURE}/${path}`));
    const groups = concat([u8(3), i32(first), i32(count), ...offsets.map(i64), inline(bytes)]);
    return concat([i32(index), i32(0), i32(0), groups, u8(0), i32(0), i32(0)]);
  });
  const count = Math.ceil(states / tasks.length);
  const all = Array.from({ length: count }, (_, i) =>
    concat([
      ...[i64(0), i64(i), i32(parallelism), i32(maxParallelism), u8(0)],
      ...[i32(tasks.length), ...tasks],
    ]));
  return concat([i32(MAGIC | 0), i32(3), i64(7), i32(0), i32(count), ...all]);
}
