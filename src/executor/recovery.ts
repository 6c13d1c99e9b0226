/**
 * Recovery of a replica at its start: the newest good snapshot, and the log after it.
 *
 * @module
 */

import { cancelled, hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotMeta, SnapshotReader, SnapshotStorage } from "../snapshot/mod.ts";
import { onAbort, raceAbort } from "../async/mod.ts";
import { equal, toHex } from "../stream/mod.ts";
import { type AnyLog, entriesOf, isShared } from "./any_log.ts";
import type { UnusableSnapshot } from "./counted.ts";
import type { FsmCaller } from "./fsm_caller.ts";
import type { ExecutorContext } from "./options.ts";
import { Turns } from "./turns.ts";

/** A place in a history. */
export type Position = Pick<SnapshotMeta, "lastIncludedIndex" | "lastIncludedTerm">;

/** The surroundings of a recovery. */
export interface RecoveryContext {
  /** The storage of the snapshots. */
  readonly storage: SnapshotStorage;
  /** Calls the machine that is to be loaded. */
  readonly fsm: FsmCaller;
  /** The last entry that the machine has by itself: only newer snapshots are loaded. */
  readonly durable?: Position | undefined;
  /** The log behind the snapshots; absent if it is shared, since other replicas can give what is missing. */
  readonly log?: LogStorage;
  /** Called with each snapshot that cannot be used. */
  readonly onUnusable: (unusable: UnusableSnapshot) => void;
  /** Cancels it. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Loads the newest snapshot that can be loaded, if the log has the entries after it. The storage quarantines one that
 * is proven bad; any other that cannot be used stays where it is, and the one before it is tried. The log decides
 * whether that loses anything: it must begin before the older one ends, and reach the end of the unusable one, since
 * entries that only that one has would be missing, and their indices would be used again.
 *
 * @returns the snapshot; nothing if there is none, or the log has everything that the machine does not have by itself
 * @throws the reason why the newest could not be used, if nothing else gives the same state
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
    if (log !== undefined) await checkUnreadable(storage, log, snapshot?.meta ?? durable);
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
      missed = index; // in a shared storage a newer one may have taken its place meanwhile
      continue;
    }
    if (hasCode(error, "CORRUPT")) await storage.quarantine(index, error.message);
    unusable.set(toHex(snapshot.digest), { snapshot, error });
    onUnusable({ snapshot, error });
  }
}

/**
 * Opens a listed snapshot. Use the reader's meta: that of the list was not verified with the content.
 *
 * @throws {SnapshotError} `NOT_FOUND` if another has its index by now; any error of the storage
 */
export async function openListed(storage: SnapshotStorage, { meta, digest }: SnapshotInfo): Promise<SnapshotReader> {
  const { lastIncludedIndex: index } = meta;
  const reader = await storage.open(index);
  if (equal(reader.manifest.digest, digest)) return reader;
  await reader.close();
  throw new SnapshotError("NOT_FOUND", `Snapshot ${index} is another one than was listed`, { index });
}

async function load({ storage, fsm, signal }: RecoveryContext, snapshot: SnapshotInfo): Promise<SnapshotMeta> {
  const reader = await openListed(storage, snapshot);
  const unlink = onAbort(signal, () => void reader.close().catch(() => {})); // makes the machine's reads fail
  try {
    throwIfCancelled(signal);
    await raceAbort(fsm.load(reader), signal);
    return reader.meta;
  } catch (error) {
    throw signal?.aborted ? cancelled(signal) : error;
  } finally {
    unlink();
    await reader.close();
  }
}

function isListed({ digest }: SnapshotInfo, listed: readonly SnapshotInfo[]): boolean {
  return listed.some((other) => toHex(other.digest) === toHex(digest));
}

/** Reports whether the log leads from a snapshot, or from nothing, to the end of a newer one of the same history. */
async function leads(log: LogStorage, from: Position | undefined, to: Position): Promise<boolean> {
  if (log.firstIndex > (from?.lastIncludedIndex ?? 0n) + 1n) return false;
  if (await log.term(to.lastIncludedIndex) !== to.lastIncludedTerm) return false;
  return from === undefined || await log.term(from.lastIncludedIndex) === from.lastIncludedTerm;
}

/**
 * Checks that the log has all entries up to the newest snapshot that cannot be read, and hence is not listed.
 *
 * @throws the reason why it cannot be read
 */
async function checkUnreadable(
  storage: SnapshotStorage,
  log: LogStorage,
  from: Position | undefined,
): Promise<void> {
  const index = from?.lastIncludedIndex ?? 0n;
  const [newest] = await storage.unreadable();
  if (newest === undefined || newest.index <= index) return;
  if (log.firstIndex <= index + 1n && log.lastIndex >= newest.index) return;
  throw newest.error;
}

/**
 * Aligns the log with the snapshot that the state was loaded from. Entries after the snapshot are kept if the log has
 * the snapshot's last entry, with its term; else they do not follow it, and the log is reset (braft's
 * `LogManager::set_snapshot`). A shared log is left as it is: one member must not empty it. A machine with a storage of
 * its own writes and syncs first what it was loaded with: the log has nothing of it, and the snapshot may go bad.
 */
export async function alignLog(
  fsm: FsmCaller,
  log: AnyLog,
  { lastIncludedIndex: index, lastIncludedTerm: term }: Position,
): Promise<void> {
  if (isShared(log) || await log.term(index) === term) return;
  await fsm.flush();
  await log.reset(index, term);
}

/**
 * Restores the state that storage and log have, after the machine was loaded from a snapshot that did not become
 * durable; or stops the replica. Call it between two applies.
 *
 * @param context machine, storage and log
 * @param cause the reason why the snapshot is not durable
 */
export async function restoreState(
  { fsm, storage, log }: ExecutorContext,
  cause: unknown,
): Promise<void> {
  const { index: applied } = fsm.applied;
  const turns = new Turns();
  try {
    const snapshot = await loadNewest({ storage, fsm, onUnusable: () => {} });
    if (snapshot === undefined) throw new Error("there is no snapshot to begin with");
    let { lastIncludedIndex: index } = snapshot.meta;
    for await (const entry of entriesOf(log, index + 1n)) {
      if (entry.index > applied) break;
      await fsm.reapply(entry);
      index = entry.index;
      if (turns.step()) await turns.turn();
    }
    if (index !== applied) throw new Error(`the log leads to ${index}, and not to ${applied}`);
  } catch (error) {
    fsm.fail(
      new SnapshotError(
        "UNAVAILABLE",
        `A snapshot was loaded, and could not be made durable (${messageOf(cause)}); and the state before it, at ` +
          `${applied}, could not be had again: ${messageOf(error)}. Nothing is applied any more: open the replica anew`,
        { index: applied, cause },
      ),
    );
  }
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
