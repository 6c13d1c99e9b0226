/**
 * Flink's operator state: lists of elements that workers share, and broadcast maps. Where each begins is said by
 * `_metadata`; each ends where the next begins.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { OperatorHandle } from "./handles.ts";
import type { Layout } from "./layout.ts";
import { Records } from "./records.ts";
import { unframe } from "./snappy.ts";
import { type OperatorHead, operatorHead, type State } from "./state_head.ts";

const MAX_HEAD = 16 * 1024 * 1024;

/** An element of a list, or an entry of a broadcast map. */
export interface OperatorRecord {
  readonly name: string;
  /** The state; nothing if the head could not be read so far. */
  readonly state: State | undefined;
  /** It is of a state whose serializers are not known. */
  readonly opaque: boolean;
  /** The number of the element, or the key of the entry. */
  readonly key: unknown;
  readonly value?: unknown;
}

/** The head of a file of operator state, which ends where the first element begins. */
export async function openOperator(
  layout: Layout,
  { states, handle }: OperatorHandle,
  signal?: AbortSignal,
): Promise<OperatorHead | undefined> {
  if (handle === undefined) return undefined;
  const name = layout.nameOf(handle);
  let end = handle.size;
  for (const { offsets } of states) for (const offset of offsets) end = Math.min(end, offset);
  if (end > MAX_HEAD) {
    throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} is damaged, or none: its head has ${end} bytes`, {
      file: name,
      expected: MAX_HEAD,
      actual: end,
    });
  }
  return operatorHead(await layout.readWhole(handle, 0, end, signal), name);
}

/** The elements of some of its states. */
export async function* operatorRecords(
  layout: Layout,
  { states: all, handle }: OperatorHandle,
  states: OperatorHandle["states"],
  { compressed, states: described }: OperatorHead,
  signal?: AbortSignal,
): AsyncGenerator<OperatorRecord, void, undefined> {
  if (handle === undefined) return;
  const what = layout.nameOf(handle);
  const sorted = all.flatMap(({ offsets }) => offsets).sort((a, b) => a - b);
  const ends = new Map(sorted.map((offset, i) => [offset, sorted[i + 1] ?? handle.size]));
  for (const { name, mode, offsets } of states) {
    const state = described.find((state) =>
      state.name === name && (state.type === "broadcast") === (mode === "broadcast")
    );
    const [key, value] = [state?.serializers.get("KEY_SERIALIZER"), state?.serializers.get("VALUE_SERIALIZER")];
    const readable = value?.read !== undefined && (mode !== "broadcast" || key?.read !== undefined);
    for (const [i, offset] of offsets.entries()) {
      const bytes = layout.read(handle, offset, ends.get(offset)!, signal);
      const records = new Records(compressed ? unframe(bytes, what, true) : bytes, what);
      try {
        if (!readable) {
          yield { name, state, opaque: true, key: i };
          continue;
        }
        if (mode === "broadcast") {
          const count = await records.take((cursor) => cursor.i32());
          for (let left = count; left > 0; left--) {
            yield {
              name,
              state,
              opaque: false,
              ...await records.take((cursor) => ({ key: key!.read!(cursor), value: value.read!(cursor) })),
            };
          }
        } else yield { name, state, opaque: false, key: i, value: await records.take((cursor) => value.read!(cursor)) };
        if (await records.atEnd()) continue;
        throw new SnapshotError("CORRUPT", `${JSON.stringify(what)} is damaged: an element of ${name} is too long`, {
          file: what,
        });
      } catch (error) {
        if (!hasCode(error, "UNSUPPORTED")) throw error;
        yield { name, state, opaque: true, key: i }; // a value in it has no serializer
      } finally {
        await records.close();
      }
    }
  }
}
