/**
 * What a replica finds when it starts: the newest snapshot that is good, and the log after it.
 *
 * @module
 */

import { cancelled, hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotMeta, SnapshotReader, SnapshotStorage } from "../snapshot/mod.ts";
import type { StateMachine } from "../state/mod.ts";
import { raceAbort } from "../async/mod.ts";
import { equal, toHex } from "../stream/mod.ts";
import type { UnusableSnapshot } from "./counted.ts";

/** A place in a history. */
export type Position = Pick<SnapshotMeta, "lastIncludedIndex" | "lastIncludedTerm">;

/** What a recovery works with. */
export interface RecoveryContext {
  /** Has the snapshots. */
  readonly storage: SnapshotStorage;
  /** Is loaded. */
  readonly machine: StateMachine;
  /** Up to where the machine has applied entries by itself: no snapshot is loaded that is not newer. */
  readonly durable?: Position | undefined;
  /** The log behind the snapshots; absent if it is a shared one, of which others can give what is missing here. */
  readonly log?: LogStorage;
  /** Is told of each snapshot that cannot be used. */
  readonly onUnusable: (unusable: UnusableSnapshot) => void;
  /** Gives it up. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Loads the newest snapshot that can be loaded, if the log gives what it lacks. One that is proven bad is quarantined by the
 * storage; every other one that cannot be used stays where it is, and the one before it is tried: the log decides whether
 * that loses anything. It must begin before the older one ends, and reach to where the unusable one ends: what only that
 * one has would be missing, and be written anew.
 *
 * @returns the snapshot; nothing if there is none, or the log has everything that the machine does not have by itself
 * @throws what the newest could not be used for, if nothing else gives the same state
 */
export async function loadNewest(context: RecoveryContext): Promise<SnapshotInfo | undefined> {
  const { storage, durable, log, onUnusable, signal } = context;
  const unusable = new Map<string, UnusableSnapshot>();
  let missed: bigint | undefined;
  for (;;) {
    throwIfCancelled(signal);
    const { lastIncludedIndex: had = 0n } = durable ?? {};
    const listed = (await raceAbort(storage.list(), signal)).filter(({ meta }) => meta.lastIncludedIndex > had);
    const snapshot = listed.find(({ digest }) => !unusable.has(toHex(digest)));
    const [newest] = [...unusable.values()].filter(({ snapshot }) => isListed(snapshot, listed));
    if (
      newest !== undefined && log !== undefined && !await leads(log, snapshot?.meta ?? durable, newest.snapshot.meta)
    ) {
      throw newest.error;
    }
    if (log !== undefined) await checkUnreadable(storage, log, snapshot?.meta);
    if (snapshot === undefined) return undefined;
    const index = snapshot.meta.lastIncludedIndex;
    let error: unknown;
    try {
      return { ...snapshot, meta: await load(context, snapshot) };
    } catch (failure) {
      throwIfCancelled(signal);
      error = failure;
    }
    if (hasCode(error, "NOT_FOUND") && index !== missed) {
      missed = index; // in a storage that others use too a newer one may have taken its place meanwhile
      continue;
    }
    if (hasCode(error, "CORRUPT")) await storage.quarantine(index, error.message);
    unusable.set(toHex(snapshot.digest), { snapshot, error });
    onUnusable({ snapshot, error });
  }
}

/**
 * Opens a snapshot of a list. Its meta is the reader's: what a list says was not verified with the content.
 *
 * @throws {SnapshotError} `NOT_FOUND` if another has its index by now; what the storage fails with
 */
export async function openListed(storage: SnapshotStorage, { meta, digest }: SnapshotInfo): Promise<SnapshotReader> {
  const { lastIncludedIndex: index } = meta;
  const reader = await storage.open(index);
  if (equal(reader.manifest.digest, digest)) return reader;
  await reader.close();
  throw new SnapshotError("NOT_FOUND", `Snapshot ${index} is another one than was listed`, { index });
}

async function load({ storage, machine, signal }: RecoveryContext, snapshot: SnapshotInfo): Promise<SnapshotMeta> {
  const reader = await openListed(storage, snapshot);
  const stop = () => void reader.close().catch(() => {}); // what the machine reads fails from then on
  signal?.addEventListener("abort", stop, { once: true });
  try {
    throwIfCancelled(signal);
    await raceAbort(machine.load(reader), signal);
    return reader.meta;
  } catch (error) {
    throw signal?.aborted ? cancelled(signal) : error;
  } finally {
    signal?.removeEventListener("abort", stop);
    await reader.close();
  }
}

function isListed({ digest }: SnapshotInfo, listed: readonly SnapshotInfo[]): boolean {
  return listed.some((other) => toHex(other.digest) === toHex(digest));
}

/** Whether the log leads from a snapshot, or from nothing, to where a newer one ends: it is of the history of both. */
async function leads(log: LogStorage, from: Position | undefined, to: Position): Promise<boolean> {
  if (log.firstIndex > (from?.lastIncludedIndex ?? 0n) + 1n) return false;
  if (await log.term(to.lastIncludedIndex) !== to.lastIncludedTerm) return false;
  return from === undefined || await log.term(from.lastIncludedIndex) === from.lastIncludedTerm;
}

/**
 * Checks that what the storage does not even list, since it cannot be read, is not missed: the log must have all up to it.
 *
 * @throws what it cannot be read for
 */
async function checkUnreadable(
  storage: SnapshotStorage,
  log: LogStorage,
  from: SnapshotMeta | undefined,
): Promise<void> {
  const index = from?.lastIncludedIndex ?? 0n;
  const [newest] = await storage.unreadable();
  if (newest === undefined || newest.index <= index) return;
  if (log.firstIndex <= index + 1n && log.lastIndex >= newest.index) return;
  throw newest.error;
}

/**
 * Makes the log fit to a snapshot that the state was loaded from. Entries after the snapshot are kept if the log has
 * the snapshot's last entry, with its term; else they are not what follows it, and all goes (braft's
 * `LogManager::set_snapshot`).
 */
export async function alignLog(
  log: LogStorage,
  { lastIncludedIndex: index, lastIncludedTerm: term }: Position,
): Promise<void> {
  if (await log.term(index) !== term) await log.reset(index, term);
}

/**
 * Checks that nothing is missing between snapshot and log.
 *
 * @throws {SnapshotError} `CORRUPT` if the log begins later
 */
export function checkNoGap(log: LogStorage, snapshot: Position | undefined): void {
  const index = snapshot?.lastIncludedIndex ?? 0n;
  if (log.firstIndex <= index + 1n) return;
  throw new SnapshotError(
    "CORRUPT",
    `Entries ${index + 1n} to ${
      log.firstIndex - 1n
    } are neither in a snapshot that is good nor in the log: install a ` +
      `snapshot from another node into the storage`,
    { index, expected: index + 1n, actual: log.firstIndex },
  );
}
