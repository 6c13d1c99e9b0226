/**
 * The beginning of a replica, also if its machine keeps its state in a storage of its own.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../errors.ts";
import type { LogStorage, SharedLog } from "../log/mod.ts";
import { boundGroup, groupOf, type SnapshotInfo, type SnapshotMeta } from "../snapshot/mod.ts";
import { type Applied, asReplica, type DurablyApplied, type StateMachine } from "../state/mod.ts";
import { neverThrowing } from "../async/mod.ts";
import type { UnusableSnapshot } from "./counted.ts";
import { alignLog, checkNoGap, loadNewest, type Position } from "./recovery.ts";
import type { ReplicaOptions } from "./replica_options.ts";
import { isShared } from "./shared.ts";

/** The state that a replica begins with. */
export interface Beginning {
  /** The snapshot that the machine was loaded from, if any. */
  readonly loaded: SnapshotInfo | undefined;
  /** The newest snapshot of which the machine itself has everything; nobody has tried it. */
  readonly had: SnapshotInfo | undefined;
  /** The last entry that was applied. */
  readonly applied: Applied;
  /** Snapshots that could not be used. */
  readonly unusable: readonly UnusableSnapshot[];
}

/** Wraps a machine so that the state that it uses can tell that a replica calls it. */
export function calledByReplica<M extends StateMachine>(machine: M): M {
  return new Proxy({} as M, { // the target is not the machine: of a frozen one no other values could be given
    get(_, name) {
      const value: unknown = Reflect.get(machine, name, machine);
      return typeof value === "function"
        ? (...args: unknown[]) => asReplica(() => Reflect.apply(value, machine, args))
        : value;
    },
  });
}

/**
 * Finds the state: the machine's own, or the newest good snapshot if that is newer. A snapshot that is not newer is
 * never loaded over it, even if no newer one can be used. Then the log is aligned, if it is not shared.
 *
 * @throws {SnapshotError} `MALFORMED` if the machine does not know which entries it has, and no snapshot was loaded; or
 *   if the log has other entries than the machine; `UNAVAILABLE` if the log ends before the entries that the machine
 *   has; `CORRUPT` if it begins after them
 */
export async function begin(options: ReplicaOptions<StateMachine>): Promise<Beginning> {
  const { machine, log, storage, configuration = { peers: [] }, signal, onEvent = () => {} } = options;
  checkContract(machine);
  await bind(options);
  const durable = machine.durable?.();
  const unusable: UnusableSnapshot[] = [];
  const tell = neverThrowing(onEvent);
  const loaded = await loadNewest({
    machine,
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
    checkLoaded(machine, loaded.meta);
    if (!isShared(log)) {
      checkNoGap(log, loaded.meta);
      await alignLog(log, loaded.meta);
    }
    return { loaded, had: undefined, applied: appliedOf(loaded.meta), unusable: named };
  }
  if (machine.durable !== undefined && durable === undefined) throw unknown();
  const { index, term, configuration: members = configuration } = durable ?? { index: 0n, term: 0n };
  if (durable !== undefined && index > 0n) await fit(log, durable, snapshots);
  else if (!isShared(log)) checkNoGap(log, undefined);
  const had = snapshots.find(({ meta }) => meta.lastIncludedIndex <= index);
  return { loaded, had, applied: { index, term, configuration: members }, unusable: named };
}

/**
 * Tells storage and log the group of the replica: see {@linkcode ReplicaOptions.group}.
 *
 * @throws {SnapshotError} `FORBIDDEN` if one of them is of another group
 */
async function bind({ log, storage, group }: ReplicaOptions<StateMachine>): Promise<void> {
  const ofLog = isShared(log) ? undefined : log.group;
  const name = group ?? storage.group ?? groupOf(await storage.list()) ?? ofLog;
  if (name === undefined) return;
  boundGroup(ofLog, name, "The log");
  storage.bindGroup(name);
  if (isShared(log) || name === ofLog) return;
  try {
    await log.bindGroup?.(name);
  } catch (error) {
    if (!hasCode(error, "NO_SPACE")) throw error; // the next opening tells it: a full disk must not prevent this one
  }
}

/** Checks for the methods without which the machine would have too little, or too much, after a restart. */
function checkContract(machine: StateMachine): void {
  if (machine.durable === undefined) return;
  for (const method of ["reconfigure", "check", "flush"] as const) {
    if (machine[method] !== undefined) continue;
    throw new SnapshotError("MALFORMED", `The machine has \`durable\`, and no \`${method}\`: it must have both`, {
      expected: method,
    });
  }
}

function isSame(a: SnapshotInfo, b: SnapshotInfo): boolean {
  return a.meta.lastIncludedIndex === b.meta.lastIncludedIndex;
}

function positionOf({ index, term }: DurablyApplied): Position {
  return { lastIncludedIndex: index, lastIncludedTerm: term };
}

/** Has a machine write what it has applied. If that fails the log still has it, and closing the machine reports it. */
export async function flush(machine: StateMachine): Promise<void> {
  try {
    if (machine.durable !== undefined) await machine.flush?.();
  } catch {
    // The log has it.
  }
}

/** The last entry that a snapshot includes. */
export function appliedOf(meta: SnapshotMeta): Applied {
  const { lastIncludedIndex: index, lastIncludedTerm: term, peers, oldPeers } = meta;
  return { index, term, configuration: { peers, ...(oldPeers !== undefined && { oldPeers }) } };
}

/**
 * Aligns a log with the entries that a machine has applied, or refuses it. Entries are dropped only if a snapshot
 * proves that they do not follow the machine's state; an empty log has none to drop.
 */
async function fit(
  log: LogStorage | SharedLog,
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
  if (loaded || snapshots.some(isSnapshot) || await hasNone(log, index, term)) return await alignLog(log, position);
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
function checkLoaded(machine: StateMachine, { lastIncludedIndex: index, lastIncludedTerm: term }: SnapshotMeta): void {
  if (machine.durable === undefined) return;
  const durable = machine.durable();
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
