/**
 * Saving keyed state: all of it as a base, or the changes since the last committed snapshot as a delta.
 *
 * @module
 */

import type { FileInfo, FileWriter, KeyGroupOffsets } from "../../snapshot/mod.ts";
import { raceAbort } from "../../async/mod.ts";
import { closeSink } from "../../stream/mod.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { StateEncoder } from "./encoder.ts";
import { encodeHead, type Head } from "./head.ts";

/**
 * The limits within which a save writes only the changes.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export interface IncrementalOptions {
  /**
   * The size of all deltas together as a share of the base's; beyond it the next save is a full one.
   *
   * @default {0.5}
   */
  readonly maxShare?: number;
  /**
   * The most deltas upon a base.
   *
   * @default {16}
   */
  readonly maxDeltas?: number;
}

/** The files of a committed snapshot that make up a state: a base, and deltas in the order of their application. */
export type Chain = readonly FileInfo[];

/** A point-in-time view that is to be saved. */
export interface StateView {
  /** The header of all its files. */
  readonly head: Omit<Head, "buildsUpon">;
  /** Reports whether there are no entries. */
  isEmpty(): Promise<boolean>;
  /** The approximate number of entries. */
  size(): number;
  /** The number of changes since the last committed snapshot; nothing if it is not known. */
  changed(): Promise<number | undefined>;
  /** Writes all key groups, or only the changes in them. */
  write(encoder: StateEncoder, changesOnly: boolean): Promise<void>;
}

/** The name of a file of keyed state. */
export function stateFile(name: string, number: number): string {
  return `${name}/${String(number).padStart(4, "0")}`;
}

/**
 * Writes a view into a snapshot.
 *
 * @param writer the snapshot
 * @param name of the state
 * @param view to be written
 * @param chain the files upon which a delta can build
 * @param options the limits of deltas
 * @param signal cancels the save
 * @returns the files that were written or reused
 */
export async function saveChain(
  writer: FileWriter,
  name: string,
  view: StateView,
  chain: Chain | undefined,
  options: IncrementalOptions,
  signal: AbortSignal,
): Promise<Chain> {
  const isEmpty = await view.isEmpty();
  const changed = isEmpty || chain === undefined ? undefined : await view.changed();
  if (changed !== undefined && isWorthIt(changed, view.size(), chain!, options) && await writer.reuse(chain!)) {
    if (changed === 0) return chain!;
    const file = stateFile(name, chain!.length);
    const buildsUpon = chain!.at(-1)!.chunks!.root;
    await writeFile(writer, file, view.head.range, signal, async (encoder) => {
      await encoder.head(encodeHead({ ...view.head, buildsUpon }));
      await view.write(encoder, true);
    });
    return [...chain!, writer.info(file)];
  }
  const file = stateFile(name, 0);
  await writeFile(writer, file, view.head.range, signal, async (encoder) => {
    if (isEmpty) return; // an empty file stands for an empty state
    await encoder.head(encodeHead({ ...view.head, buildsUpon: undefined }));
    await view.write(encoder, false);
  });
  return [writer.info(file)];
}

/** Reports whether a delta is likely to be small enough, and not one too many. */
function isWorthIt(changed: number, entries: number, chain: Chain, options: IncrementalOptions): boolean {
  const { maxShare = 0.5, maxDeltas = 16 } = options;
  const [base, ...deltas] = chain;
  const baseSize = base?.chunks?.size ?? 0;
  if (baseSize === 0) return false;
  if (changed === 0) return true;
  const size = deltas.reduce((sum, { chunks }) => sum + chunks!.size, baseSize * changed / Math.max(entries, changed));
  return deltas.length < maxDeltas && size <= maxShare * baseSize;
}

async function writeFile(
  writer: FileWriter,
  name: string,
  range: KeyGroupRange,
  signal: AbortSignal,
  write: (encoder: StateEncoder) => Promise<void>,
): Promise<void> {
  const keyGroups = (): KeyGroupOffsets => ({ ...range, offsets: encoder.offsets });
  const sink = writer.file(name, { chunkSize: "pieces", keyGroups }).getWriter();
  sink.closed.catch(() => {});
  const encoder = new StateEncoder(range, async (chunk) => {
    await raceAbort(sink.write(chunk), signal); // a stalled sink may not notice the signal
  });
  try {
    signal.throwIfAborted();
    await write(encoder);
    await raceAbort(closeSink(sink), signal);
  } catch (error) {
    sink.abort(error).catch(() => {});
    throw signal.aborted ? signal.reason : error;
  }
}

/**
 * The options for incremental saves; nothing if saves are not incremental.
 *
 * @throws {SnapshotError} `MALFORMED` if they are not allowed
 */
export function incrementalOf(incremental: boolean | IncrementalOptions): IncrementalOptions | undefined {
  if (incremental === false) return undefined;
  if (incremental === true) return {};
  return incremental;
}
