/**
 * The contract of what is snapshotted.
 *
 * @module
 */

import { checkBytes, checkIndex, checkOptions, checkText, listOf, required } from "../checks.ts";
import type { FileWriter, SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";

/** The members of a group. */
export interface Configuration {
  /** The members. */
  readonly peers: readonly string[];
  /** While the membership is changing (joint consensus): the members before. */
  readonly oldPeers?: readonly string[];
}

/** An entry of a replicated log. */
export interface LogEntry {
  /** Its place in the log, from 1, without gaps. */
  readonly index: bigint;
  /** The term in which it was written; never falls. */
  readonly term: bigint;
  /** The command. Not to be changed. */
  readonly data: Uint8Array;
  /** Set if the entry changes the membership and is no command: the machine does not see it. */
  readonly configuration?: Configuration;
}

/** Up to where entries were applied. */
export interface Applied {
  /** The index of the last. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** The members at that index. */
  readonly configuration: Configuration;
}

/** What the storage of a machine has: see {@linkcode StateMachine.durable}. */
export interface DurablyApplied {
  /** The index of the last entry that was applied; 0 if none was. */
  readonly index: bigint;
  /** Its term; 0 if none was. */
  readonly term: bigint;
  /** The members at that index; absent as long as neither an entry nor a snapshot has said who they are. */
  readonly configuration?: Configuration;
  /** Set if a snapshot gave all of it, and nothing was applied since: the log may end before it, or be another one. */
  readonly loaded?: boolean;
}

/**
 * What a {@linkcode Replica} keeps: state that is changed by the entries of a log, and only by them. All its methods are
 * called one after the other, never two at a time; only a {@linkcode SaveTask} and {@linkcode check} run beside them.
 */
export interface StateMachine {
  /**
   * Applies an entry. Must give the same state on every replica. If it throws, the replica stops: its state would not
   * be that of the others any more.
   */
  apply(entry: LogEntry): void | Promise<void>;

  /**
   * Looks at a command before it is appended: what is in the log cannot be taken back, and a command that cannot be
   * applied would stop the replica, now and after each restart. Of entries that other replicas have committed only
   * `UNSUPPORTED` keeps one from being appended.
   *
   * @throws if it is none that can be applied; whoever proposed it is told. `UNSUPPORTED` if a newer program wrote it:
   *   see {@linkcode commandCodec}
   */
  validate?(data: Uint8Array): void;

  /**
   * The synchronous part of a save, between two applies: takes a point-in-time view. Short, since nothing is applied
   * meanwhile.
   *
   * @returns the rest of the save; nothing if there is nothing to save
   */
  save(): SaveTask | undefined;

  /** Replaces all state by that of a snapshot; or throws and leaves it as it is. */
  load(reader: SnapshotReader): Promise<void>;

  /**
   * Whether {@linkcode load} would load a snapshot: decodes all of it in bounded memory, and changes nothing. Called before
   * a snapshot of others becomes one here, beside whatever else is called. A machine without it loads the snapshot
   * then already, and nothing is applied until that has become durable.
   *
   * @throws what `load` would throw
   */
  check?(reader: SnapshotReader): Promise<void>;

  /**
   * For a machine that keeps its state in a storage of its own, as a `StoredState` does: up to where that has it. The machine
   * must write this in the same transaction as what it changes, in {@linkcode apply}, {@linkcode reconfigure} and
   * {@linkcode load}, and must have {@linkcode check} and {@linkcode flush} too. A replica then begins there: it loads newer snapshots only, and applies no entry again. What was
   * applied last may be missing, since the log has it.
   *
   * Called when a replica is opened. A machine without it has no state then, and gets all of it.
   *
   * @returns nothing if there is state, and it is not known which entries it has: only a snapshot can replace it
   */
  durable?(): DurablyApplied | undefined;

  /**
   * Writes what was applied and is not durable yet. Called when a replica is closed, if the machine has {@linkcode durable}:
   * nothing may be written after that which another one, opened on the same storage, could not know of.
   */
  flush?(): void | Promise<void>;

  /**
   * Is told, in its place among those that are applied, of an entry that changes the membership. A machine that has
   * {@linkcode durable} must have this too, and write that it has the entry and whom it names; no other is told.
   */
  reconfigure?(entry: LogEntry): void | Promise<void>;

  /** Called before a snapshot that was installed is loaded: nothing of the state is in use when it resolves. */
  pause?(): void | Promise<void>;

  /** Called after an installed snapshot was loaded, or could not be: the state may be used again. */
  reinitialize?(): void | Promise<void>;
}

/** The asynchronous part of a save. */
export interface SaveTask {
  /**
   * Writes the view that was taken. Called once at the most.
   *
   * @param writer where to; committed by the caller
   * @param signal fires if the save is given up; to be honoured promptly
   */
  write(writer: FileWriter, signal: AbortSignal): Promise<void>;

  /**
   * Called once, before `release`, if what was written is a snapshot now, durable and read back: only that may be built
   * upon by the next save.
   *
   * @param snapshot the snapshot
   */
  committed?(snapshot: SnapshotInfo): void;

  /**
   * Lets the view go. Called exactly once, whatever happens: success, failure, cancel before or during the write. If a
   * write was told to stop and has not, it is called all the same, after a second.
   */
  release(): void;
}

/** Checks the members that an entry says, if it says any. */
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
  }, what);
}
