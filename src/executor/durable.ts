/**
 * The beginning of a replica, also if its machine keeps its state in a storage of its own.
 *
 * @module
 */

import { has } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import { boundGroup, groupOf, type SnapshotInfo, type SnapshotMeta } from "../snapshot/mod.ts";
import type { DurablyApplied, StateMachine } from "../state/mod.ts";
import { listenerOf } from "../stream/mod.ts";
import { type AnyLog, isShared } from "./any_log.ts";
import type { Beginning, UnusableSnapshot } from "./counted.ts";
import { appliedOf, type FsmCaller } from "./fsm_caller.ts";
import { alignLog, checkNoGap, loadNewest, type Position } from "./recovery.ts";
import type { ReplicaOptions } from "./replica_options.ts";

/**
 * Finds the state: the machine's own, or the newest good snapshot if that is newer. A snapshot that is not newer is
 * never loaded over it, even if no newer one can be used. Then the log is aligned, if it is not shared.
 *
 * @throws {SnapshotError} `MALFORMED` if the machine does not know which entries it has, and no snapshot was loaded; or
 *   if the log has other entries than the machine; `UNAVAILABLE` if the log ends before the entries that the machine
 *   has; `CORRUPT` if it begins after them
 */
export async function begin(fsm: FsmCaller, options: ReplicaOptions<StateMachine>): Promise<Beginning> {
  const { log, storage, configuration = { peers: [] }, signal, onEvent } = options;
  const durable = fsm.durable();
  await bind(fsm, durable?.group, options);
  const unusable: UnusableSnapshot[] = [];
  const tell = listenerOf(onEvent);
  const loaded = await loadNewest({
    fsm,
    storage,
    signal,
    ...(durable !== undefined && durable.index > 0n && { durable: positionOf(durable) }),
    ...(!isShared(log) && { log }),
    onUnusable(one) {
      unusable.push(one);
      tell({ type: "unusable", ...one });
    },
  });
  const snapshots = await storage.list();
  const named = unusable.filter(({ snapshot }) => snapshots.some((other) => isSame(snapshot, other)));
  if (loaded !== undefined) {
    if (fsm.isDurable) checkLoaded(fsm.durable(), loaded.meta);
    if (!isShared(log)) checkNoGap(log, loaded.meta);
    await alignLog(fsm, log, loaded.meta);
    fsm.begin(appliedOf(loaded.meta), loaded.meta.createdAt);
    return { loaded, had: undefined, unusable: named };
  }
  if (fsm.isDurable && durable === undefined) throw unknown();
  const { index, term, configuration: members = configuration } = durable ?? { index: 0n, term: 0n };
  if (durable !== undefined && index > 0n) await fit(fsm, log, durable, snapshots);
  else if (!isShared(log)) checkNoGap(log, undefined);
  const had = snapshots.find(({ meta }) => meta.lastIncludedIndex <= index);
  fsm.begin({ index, term, configuration: members });
  return { loaded, had, unusable: named };
}

/**
 * Tells storage, log and machine the group of the replica: see {@linkcode ReplicaOptions.group}.
 *
 * @throws {SnapshotError} `FORBIDDEN` if one of them is of another group
 */
async function bind(
  fsm: FsmCaller,
  ofMachine: string | undefined,
  { log, storage, group }: ReplicaOptions<StateMachine>,
): Promise<void> {
  const ofLog = isShared(log) ? undefined : log.group;
  const name = group ?? storage.group ?? groupOf(await storage.list()) ?? ofLog ?? ofMachine;
  if (name === undefined) return;
  boundGroup(ofLog, name, "The log");
  boundGroup(ofMachine, name, "The state of the machine");
  storage.bindGroup(name);
  try {
    if (!isShared(log) && name !== ofLog) await log.bindGroup?.(name);
    await fsm.bindGroup(name);
  } catch (error) {
    if (!hasCode(error, "NO_SPACE")) throw error; // the next opening tells it: a full disk must not prevent this one
  }
}

function isSame(a: SnapshotInfo, b: SnapshotInfo): boolean {
  return a.meta.lastIncludedIndex === b.meta.lastIncludedIndex;
}

function positionOf({ index, term }: DurablyApplied): Position {
  return { lastIncludedIndex: index, lastIncludedTerm: term };
}

/**
 * Aligns a log with the entries that a machine has applied, or refuses it. Entries are dropped only if a snapshot
 * proves that they do not follow the machine's state; an empty log has none to drop.
 */
async function fit(
  fsm: FsmCaller,
  log: AnyLog,
  durable: DurablyApplied,
  snapshots: readonly SnapshotInfo[],
): Promise<void> {
  const { index, term, loaded = false } = durable;
  const position = positionOf(durable);
  const found = await log.term(index);
  if (isShared(log)) {
    if (found !== undefined && found !== term) throw another(index, term, found);
    return; // following it fails if it lacks the next entries
  }
  checkNoGap(log, position);
  const isSnapshot = ({ meta }: SnapshotInfo) => meta.lastIncludedIndex === index && meta.lastIncludedTerm === term;
  if (loaded || snapshots.some(isSnapshot) || await hasNone(log, index, term)) {
    return await alignLog(fsm, log, position);
  }
  if (found === term) return;
  if (found !== undefined) throw another(index, term, found);
  throw new SnapshotError(
    "UNAVAILABLE",
    `The machine has applied entries up to ${index}, and the log ends with ${log.lastIndex}: it has lost the entries ` +
      `between, or is another one. Find the right one; or install a snapshot from another node into the storage`,
    { index, expected: index, actual: log.lastIndex },
  );
}

/** Reports whether a log has no entries, and ended before the last applied one. */
async function hasNone(log: LogStorage, index: bigint, term: bigint): Promise<boolean> {
  const { firstIndex, lastIndex } = log;
  return lastIndex < firstIndex && lastIndex < index && (await log.term(lastIndex) ?? 0n) <= term;
}

/** Checks that `durable` says what was loaded: else entries would be applied twice after the next restart. */
function checkLoaded(
  durable: DurablyApplied | undefined,
  { lastIncludedIndex: index, lastIncludedTerm: term }: SnapshotMeta,
): void {
  if (durable?.index === index && durable.term === term) return;
  throw new SnapshotError(
    "MALFORMED",
    `The machine has loaded snapshot ${index} of term ${term}, and says by \`durable\` that it has entries up to ` +
      `${durable?.index ?? "none"} of term ${durable?.term ?? "none"}: \`load\` must write both in one transaction`,
    { index, expected: index, ...(durable !== undefined && { actual: durable.index }) },
  );
}

function unknown(): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    "The machine has a state, and it is not known which entries that has; there is no snapshot that could replace " +
      "it. Take a new database; or save the state as a snapshot into the storage of the replica, with the index that " +
      "it has",
  );
}

function another(index: bigint, term: bigint, found: bigint): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `The machine has applied entry ${index} of term ${term}, and the log has one of term ${found} there: it is not ` +
      `the log of this machine. Find the right one; or install a snapshot from another node into the storage`,
    { index, expected: term, actual: found },
  );
}

/** Closes log and storage, whatever they are: a caller that opened them in the options cannot close them itself. */
export async function closeGiven(options: { readonly log?: unknown; readonly storage?: unknown }): Promise<void> {
  await Promise.allSettled((["log", "storage"] as const).map(async (name) => {
    const given = options[name];
    if (has(given, "close", "function")) await (given as { close(): unknown }).close();
  }));
}
