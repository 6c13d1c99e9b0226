/**
 * The contract of a state machine that is snapshotted.
 *
 * @module
 */

import { checkBytes, checkIndex, checkOptions, checkText, integer, listOf, required } from "../checks.ts";
import type { FileWriter, SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";

/**
 * The members of a group.
 *
 * @category State
 * @see {@linkcode Replica}
 */
export interface Configuration {
  /** The members. */
  readonly peers: readonly string[];
  /** The previous members, while the membership is changing (joint consensus). */
  readonly oldPeers?: readonly string[];
}

/**
 * An entry of a replicated log. Logs and replicas give entries that are JSON, too: index and term as strings, the data
 * in hexadecimal.
 *
 * @category State
 * @see {@linkcode commandCodec}
 */
export interface LogEntry {
  /** Its position in the log, from 1, without gaps. */
  readonly index: bigint;
  /** The term in which it was written; never falls. */
  readonly term: bigint;
  /** The command. Not to be changed. */
  readonly data: Uint8Array;
  /** Set if the entry changes the membership and is no command: the machine does not see it. */
  readonly configuration?: Configuration;
  /**
   * When it was appended, by the clock of who did: milliseconds since 1970, and never less than the one before it.
   * Absent if that is not known.
   */
  readonly time?: number;
}

/**
 * The last entry that was applied, as a {@linkcode StateMachine} is told of it.
 *
 * @category State
 * @see {@linkcode Replica}
 */
export interface Applied {
  /** Its index. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** The members at that index. */
  readonly configuration: Configuration;
}

/**
 * The last entry that the storage of a machine has: see {@linkcode StateMachine.durable}.
 *
 * @category State
 * @see {@linkcode StoredState}
 */
export interface DurablyApplied {
  /** The index of the last entry that was applied; 0 if none was. */
  readonly index: bigint;
  /** Its term; 0 if none was. */
  readonly term: bigint;
  /** The members at that index; absent as long as neither an entry nor a snapshot has named them. */
  readonly configuration?: Configuration;
  /** The group whose entries were applied, if the storage of the machine knows it. */
  readonly group?: string;
  /**
   * The last entry that no crash and no power failure takes back: it is on a disk, synced. A replica with a log of its
   * own then has the machine {@linkcode StateMachine.flush} instead of saving it, and purges the log up to here without
   * a snapshot. At least 0 from the beginning on if the machine can say it; absent if it cannot, or not any more.
   */
  readonly synced?: bigint;
  /** True if all state came from a snapshot and no entry was applied since: the log may end earlier, or be another. */
  readonly loaded?: boolean;
}

/**
 * The state of a {@linkcode Replica}, which only the entries of a log change. All its methods are called one after the
 * other, never two at a time; only a {@linkcode SaveTask} and {@linkcode check} run beside them.
 *
 * @category State
 */
export interface StateMachine {
  /**
   * Applies an entry. Must give the same state on every replica. If it throws, the replica stops: otherwise its state
   * would differ from that of the others.
   *
   * @param entry the entry
   * @param validated what {@linkcode validate} returned of its data, if it was called for this entry: a command need
   *   not be decoded twice
   */
  apply(entry: LogEntry, validated?: unknown): void | Promise<void>;

  /**
   * Checks a command before it is appended: an entry of the log cannot be taken back, and a command that cannot be
   * applied would stop the replica, now and after each restart. An entry that other replicas have committed is kept
   * from being appended by `UNSUPPORTED` only.
   *
   * @returns anything: {@linkcode apply} gets it with the entry
   * @throws if the command cannot be applied; its proposer gets the error. `UNSUPPORTED` if a newer program wrote it:
   *   see {@linkcode commandCodec}
   */
  validate?(data: Uint8Array): unknown;

  /**
   * The synchronous part of a save, between two applies: takes a point-in-time view. Short, since nothing is applied
   * meanwhile.
   *
   * @returns the rest of the save; nothing if there is nothing to save
   */
  save(): SaveTask | undefined;

  /**
   * Replaces all state by that of a snapshot; if it throws, the state is unchanged.
   *
   * @param reader the snapshot
   * @param checked what {@linkcode check} returned of this snapshot, if it was called with `keep` and returned
   *   something: it need not be read again
   */
  load(reader: SnapshotReader, checked?: unknown): Promise<void>;

  /**
   * Checks that {@linkcode load} would load a snapshot: decodes all of it in bounded memory, and changes nothing.
   * Called before a snapshot of others becomes one here, possibly while other methods run. A machine without this
   * method loads the snapshot at that point instead, and nothing is applied until the snapshot is durable.
   *
   * @param reader the snapshot
   * @param keep true if it is loaded next, unless it is not wanted after all: what was decoded may then be kept, beside
   *   the state, and returned
   * @returns anything: {@linkcode load} gets it
   * @throws the error that `load` would throw
   */
  check?(reader: SnapshotReader, keep?: boolean): Promise<unknown>;

  /**
   * The last entry that the storage of this machine has, for a machine with a storage of its own, such as a
   * `StoredState`. The machine must write this in the same transaction as its changes, in {@linkcode apply}, {@linkcode
   * reconfigure} and {@linkcode load}, and must have {@linkcode check} and {@linkcode flush} too. A replica then begins
   * there: it loads newer snapshots only, and applies no entry again. The entries applied last may be missing, since
   * the log has them.
   *
   * Called when a replica is opened, and after each flush. A machine without this method has no state then, and gets
   * all of it.
   *
   * @returns nothing if there is state, but it is not known which entries it has: only a snapshot can replace it
   */
  durable?(): DurablyApplied | undefined;

  /**
   * Writes the changes that were applied and are not durable yet. Called between two applies: before the log is purged
   * behind a machine that says what is {@linkcode DurablyApplied.synced}, and when a replica is closed. The machine
   * must write nothing after the latter: another one, opened on the same storage, would miss it.
   */
  flush?(): void | Promise<void>;

  /**
   * Takes an entry that changes the membership, in its order among the applied entries. A machine that has
   * {@linkcode durable} must have this too, and record the entry and its members; it is called on no other machine.
   */
  reconfigure?(entry: LogEntry): void | Promise<void>;

  /**
   * Binds the storage of this machine to a group for good, for a machine that has {@linkcode durable}; a replica that
   * knows its group calls it when it is opened. Without it, the state of one group can be opened as another's.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is bound to another already
   */
  bindGroup?(group: string): void | Promise<void>;

  /** Called before an installed snapshot is loaded: when it resolves, no part of the state may be in use. */
  pause?(): void | Promise<void>;

  /** Called after an installed snapshot was loaded, or could not be: the state may be used again. */
  reinitialize?(): void | Promise<void>;
}

/**
 * The asynchronous part of a save.
 *
 * @category State
 * @see {@linkcode KeyValueMachine}
 */
export interface SaveTask {
  /**
   * The last entry whose effects the view has, for a machine that saves an earlier state than that of the last entry
   * applied (one that applies in batches, or saves what another process has). By default the last that was applied.
   */
  readonly upTo?: SavedUpTo | undefined;

  /**
   * Writes the view that was taken. Called once at the most.
   *
   * @param writer where to; committed by the caller
   * @param signal fires if the save is cancelled; to be honoured promptly
   */
  write(writer: FileWriter, signal: AbortSignal): Promise<void>;

  /**
   * Called once, before `release`, if the written view has become a snapshot, durable and read back: only upon such a
   * snapshot may the next save build.
   *
   * @param snapshot the snapshot
   */
  committed?(snapshot: SnapshotInfo): void;

  /**
   * Releases the view. Called exactly once in any case: success, failure, cancel before or during the write. It is
   * called a second after a write was told to stop, even if the write has not ended.
   */
  release(): void;
}

/** The last entry whose effects a saved state has: see {@linkcode SaveTask.upTo}. */
export interface SavedUpTo {
  /** Its index: not beyond the last entry that was applied. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** The members at that index; by default those at the last entry that was applied. */
  readonly configuration?: Configuration | undefined;
}

/** Checks the members that an entry names, if it names any. */
export function checkConfiguration(value: unknown, what: string): void {
  if (value === undefined) return;
  checkOptions(value as Configuration, { peers: required(listOf(checkText)), oldPeers: listOf(checkText) }, what);
}

/** Checks an entry of a log. */
export function checkEntry(entry: LogEntry, what: string): void {
  checkOptions<LogEntry>(entry, {
    index: required(checkIndex),
    term: required(checkIndex),
    data: required(checkBytes),
    configuration: checkConfiguration,
    time: integer(0),
  }, what);
}
