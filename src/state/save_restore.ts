/**
 * Saving a machine into a storage, and restoring it, without a replica.
 *
 * @module
 */

import { able, checkIndex, checkOptions, checkSignal, checkText, integer, listOf } from "../checks.ts";
import { throwIfCancelled } from "../errors.ts";
import { checkStorage, type SnapshotInfo, type SnapshotMeta, type SnapshotStorage } from "../snapshot/mod.ts";
import type { StateMachine } from "./machine.ts";

/**
 * Options of {@linkcode save}.
 *
 * @category State
 */
export interface SaveOptions {
  /**
   * The index of the snapshot; by default that of the machine's {@linkcode SaveTask.upTo}, or the one after the newest
   * in the storage, or 1.
   */
  readonly index?: bigint;
  /** Its term; by default that of the newest in the storage, or 1. */
  readonly term?: bigint;
  /**
   * The members of the group.
   *
   * @default {[]}
   */
  readonly peers?: readonly string[];
  /** The time that the snapshot says it was taken, in milliseconds since 1970; by default that of the call. */
  readonly createdAt?: number;
  /** Cancels it: nothing is left of it then. */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode restore}.
 *
 * @category State
 */
export interface RestoreOptions {
  /** The snapshot; by default the newest. */
  readonly index?: bigint;
}

/**
 * Saves a machine that no replica has. It may go on changing once this was called: its view is taken in the same turn
 * of the event loop.
 *
 * @category State
 * @param machine the machine
 * @param storage where to
 * @param options the index, which is counted by default
 * @returns the snapshot, durable; nothing if there is nothing to save
 * @throws {SnapshotError} `STALE` if the storage has one that is not older, `CANCELLED`, `NO_SPACE`; whatever the
 *   machine fails with
 *
 * @example
 * ```ts
 * import { jsonCodec, KeyedState, MemoryStorage, restore, save, stringKeys } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * const state = new KeyedState({ keys: stringKeys() });
 * state.value("ages", jsonCodec<number>()).set("Ada", 36);
 * const snapshot = await save(state, storage);
 * console.assert(snapshot?.meta.lastIncludedIndex === 1n);
 *
 * const another = new KeyedState({ keys: stringKeys() });
 * const ages = another.value("ages", jsonCodec<number>());
 * await restore(another, storage);
 * console.assert(ages.get("Ada") === 36);
 * ```
 */
export async function save(
  machine: Pick<StateMachine, "save">,
  storage: SnapshotStorage,
  options: SaveOptions = {},
): Promise<SnapshotInfo | undefined> {
  able("a StateMachine", "save")(machine, "machine");
  checkStorage(storage, "storage");
  const { signal = new AbortController().signal, index, term, peers, createdAt } = checkOptions(options, {
    index: checkIndex,
    term: checkIndex,
    peers: listOf(checkText),
    createdAt: integer(0),
    signal: checkSignal,
  });
  throwIfCancelled(signal);
  const takenAt = Date.now();
  const task = machine.save();
  if (task === undefined) return undefined;
  try {
    const [newest] = index === undefined || term === undefined ? await storage.list() : [];
    const { lastIncludedIndex = 0n, lastIncludedTerm = 1n } = newest?.meta ?? {};
    const writer = await storage.create();
    try {
      throwIfCancelled(signal);
      await task.write(writer, signal);
      throwIfCancelled(signal);
      const snapshot = await writer.commit({
        lastIncludedIndex: index ?? task.upTo?.index ?? lastIncludedIndex + 1n,
        lastIncludedTerm: term ?? task.upTo?.term ?? lastIncludedTerm,
        ...(peers === undefined ? task.upTo?.configuration ?? { peers: [] } : { peers }),
        createdAt: createdAt ?? takenAt,
      });
      task.committed?.(snapshot);
      return snapshot;
    } finally {
      await writer.abort(); // does nothing if it was committed
    }
  } finally {
    task.release();
  }
}

/**
 * Restores a machine that no replica has: loads a snapshot, all of it verified.
 *
 * @category State
 * @param machine the machine
 * @param storage has the snapshot
 * @param options which; by default the newest
 * @returns the meta of the snapshot; nothing if the storage has none, and the machine is as it was
 * @throws {SnapshotError} `CORRUPT`, `UNAVAILABLE`; `NOT_FOUND` if that index is not there; whatever the machine's
 *   `load` fails with
 *
 * @example See {@linkcode save}
 * ```ts
 * import { bytesMachine, MemoryStorage, restore } from "@snapstream/snapstream";
 *
 * const machine = bytesMachine({ apply() {}, encode: () => undefined, decode() {} });
 * console.assert(await restore(machine, new MemoryStorage()) === undefined);
 * ```
 */
export async function restore(
  machine: Pick<StateMachine, "load">,
  storage: SnapshotStorage,
  options: RestoreOptions = {},
): Promise<SnapshotMeta | undefined> {
  able("a StateMachine", "load")(machine, "machine");
  checkStorage(storage, "storage");
  const { index } = checkOptions(options, { index: checkIndex });
  if (index === undefined && (await storage.list()).length === 0) {
    const [unreadable] = await storage.unreadable();
    if (unreadable !== undefined) throw unreadable.error;
    return undefined;
  }
  const reader = await storage.open(index);
  try {
    await machine.load(reader);
    return reader.meta;
  } finally {
    await reader.close();
  }
}
