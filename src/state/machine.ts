/**
 * The contract of what is snapshotted.
 *
 * @module
 */

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
