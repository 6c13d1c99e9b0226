/**
 * Copying a snapshot from one storage to another: of what is there already nothing is written.
 *
 * @module
 */

import type { SnapshotInfo, SnapshotStorage } from "../snapshot/mod.ts";
import { pull, snapshotHandler } from "../transfer/mod.ts";

/**
 * Copies a snapshot, every chunk verified.
 *
 * @param from has it
 * @param to takes it
 * @param index which
 * @param signal cancels it
 * @returns the copy
 */
export async function copySnapshot(
  from: SnapshotStorage,
  to: SnapshotStorage,
  index: bigint,
  signal: AbortSignal | undefined,
): Promise<SnapshotInfo> {
  const handler = snapshotHandler(from);
  try {
    const source = { url: "http://localhost", fetch: (request: Request) => handler(request) };
    return (await pull(to, [source], { index, signal, retryFor: 0 })).snapshot;
  } finally {
    await handler.close();
  }
}
