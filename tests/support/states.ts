// Saving and loading keyed state, and files of it that are not as they should be.

import { hashString, type KeyGroupOffsets } from "../../src/extend.ts";
import {
  KeyedState,
  keyGroupOf,
  MemoryStorage,
  type SaveTask,
  type SnapshotInfo,
  type SnapshotReader,
  type SnapshotStorage,
  stringKeys,
  utf8Codec,
  type ValueState,
} from "../../mod.ts";
import { bytesOf } from "./harness.ts";

/** What can be saved. */
export interface Savable {
  save(): SaveTask | undefined;
}

/** Takes a snapshot as an executor does. */
export async function saveTo(
  state: Savable,
  storage: SnapshotStorage,
  index: bigint,
  peers: readonly string[] = [],
): Promise<SnapshotInfo> {
  return await commit(state.save()!, storage, index, peers);
}

/** Writes and commits what was begun. */
export async function commit(
  task: SaveTask,
  storage: SnapshotStorage,
  index: bigint,
  peers: readonly string[] = [],
): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    await task.write(writer, new AbortController().signal);
    const info = await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers });
    task.committed?.(info);
    return info;
  } finally {
    await writer.abort();
    task.release();
  }
}

/** Saves into a storage of its own, and opens the snapshot. */
export async function saved(state: Savable): Promise<SnapshotReader> {
  const storage = new MemoryStorage();
  await saveTo(state, storage, 1n);
  return await storage.open();
}

/** Entries by key groups, in each in the order in which they came: as keyed state gives them. */
export function byGroups<V>(entries: Iterable<readonly [string, V]>, maxParallelism = 128): [string, V][] {
  const group = (key: string) => keyGroupOf(hashString(key), maxParallelism);
  return [...entries].map(([key, value]): [string, V] => [key, value]).sort(([a], [b]) => group(a) - group(b));
}

/** A snapshot with files of these bytes: right by its digests, whatever is in them. */
export async function holding(
  files: Readonly<Record<string, { readonly bytes: Uint8Array; readonly keyGroups?: KeyGroupOffsets }>>,
): Promise<SnapshotReader> {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  for (const [name, { bytes, keyGroups }] of Object.entries(files)) {
    // Cut where it was, so that it has the root that it had.
    const ends = [...new Set([...keyGroups?.offsets ?? [], bytes.length])].filter((it) =>
      it >= 0 && it <= bytes.length
    );
    ends.sort((a, b) => a - b);
    const chunks = ends.map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
    await ReadableStream.from(chunks).pipeTo(writer.file(name, { chunkSize: "pieces", keyGroups: () => keyGroups }));
  }
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  return await storage.open();
}

/** Where the first part of a state is in a snapshot. */
export const STATE_FILE = "state/0000";

/** A state of texts by texts. */
export function texts(
  options: { readonly range?: { first: number; last: number }; readonly incremental?: boolean } = {},
): {
  readonly state: KeyedState<string>;
  readonly value: ValueState<string, string>;
} {
  const state = new KeyedState({ keys: stringKeys(), ...options });
  return { state, value: state.value("value", utf8Codec()) };
}

/** A file of a small state, in bytes. */
export async function fileOfTexts(): Promise<{ readonly bytes: Uint8Array; readonly keyGroups: KeyGroupOffsets }> {
  const { state, value } = texts();
  for (const key of ["", "key", "ключ", "x".repeat(130)]) value.set(key, key.repeat(3));
  const reader = await saved(state);
  return { bytes: await bytesOf(reader.file(STATE_FILE)), keyGroups: reader.info(STATE_FILE).keyGroups! };
}
