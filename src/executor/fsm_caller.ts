/**
 * The one caller of a state machine: braft's `FSMCaller`.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type SnapshotMeta, type SnapshotReader, type SnapshotVerifier, verifiedBy } from "../snapshot/mod.ts";
import { type Applied, asReplica, type DurablyApplied, type LogEntry, type SaveTask } from "../state/mod.ts";
import type { StateMachine } from "../state/mod.ts";
import { raceAbort } from "../async/mod.ts";
import { checkApplied, checkDurable, checkMachine, checkTask, savedBy } from "./machine_checks.ts";

/** A callback of the machine about a past event. */
export type MachineCallback = "committed" | "release" | "reinitialize";

/** Listens to what becomes of a machine's state. */
export interface FsmListener {
  /** An entry was applied. */
  applied?(): void;
  /** The state was replaced by a snapshot's. Called between two applies. */
  loaded?(meta: SnapshotMeta): void;
  /** The machine failed in a callback about a past event, which stands. */
  callbackFailed?(callback: MachineCallback, error: unknown): void;
}

/** The result of the synchronous part of a save. */
export interface Prepared {
  /** The asynchronous part; nothing if there is nothing to save. */
  readonly task: SaveTask | undefined;
  /** The last applied entry that the save includes. */
  readonly applied: Applied;
  /** The last entry whose effects the saved state has: that one, or an earlier one if the machine says so. */
  readonly saved: Applied;
  /** The time of the synchronous part, not before any entry that it has: milliseconds since 1970. */
  readonly takenAt: number;
  /** {@linkcode FsmCaller.appliedBytes} at that entry. */
  readonly appliedBytes: number;
  /** Its length in milliseconds. */
  readonly duration: number;
}

/** The result of a flush. */
export interface Synced extends Pick<Prepared, "applied" | "appliedBytes"> {
  /** The last entry that is on the machine's disk; nothing if it cannot say that any more. */
  readonly synced: bigint | undefined;
}

/**
 * Calls a state machine, and nothing else does. It knows the last entry that was applied, gives work its turn between
 * two applies, and applies nothing any more after a failure that would make the state differ from that of other
 * replicas.
 */
export class FsmCaller {
  readonly #machine: StateMachine;
  /** Says whose snapshots the machine may be loaded from; any if absent. */
  readonly verifier: SnapshotVerifier | undefined;
  readonly #listeners: FsmListener[] = [];
  #applied: Applied = { index: 0n, term: 0n, configuration: { peers: [] } };
  #appliedBytes = 0;
  #time = 0;
  /** The work on the machine, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #failure: SnapshotError | undefined;
  #isDiskBased = false;

  /**
   * Takes a machine.
   *
   * @param machine the machine; nothing was applied to it yet: see {@linkcode begin}
   * @param verifier says whose snapshots it may be loaded from; any if absent
   */
  constructor(machine: StateMachine, verifier?: SnapshotVerifier) {
    checkMachine(machine, "machine");
    this.#machine = machine;
    this.verifier = verifier;
  }

  /** The last entry that was applied. */
  get applied(): Applied {
    return this.#applied;
  }

  /** Bytes of the entries that were applied here, in all. */
  get appliedBytes(): number {
    return this.#appliedBytes;
  }

  /**
   * The time before which all was appended that the machine has: milliseconds since 1970. The clock here may be behind
   * that of the leader, or be set back; what is taken now is not from before what it has.
   */
  get time(): number {
    return this.#time;
  }

  /** The reason why nothing can be applied any more. */
  get failure(): SnapshotError | undefined {
    return this.#failure;
  }

  /** True if the machine can check a snapshot without loading it. */
  get canCheck(): boolean {
    return this.#machine.check !== undefined;
  }

  /** True if the machine has a storage of its own. */
  get isDurable(): boolean {
    return this.#machine.durable !== undefined;
  }

  /** True if the machine says what it has on a disk, synced: the log is purged behind that, not behind snapshots. */
  get isDiskBased(): boolean {
    return this.#isDiskBased;
  }

  /** Adds a listener. */
  listen(listener: FsmListener): void {
    this.#listeners.push(listener);
  }

  /**
   * Sets the last entry that the machine has.
   *
   * @param applied the entry
   * @param time not before it was appended; 0 if that is not known
   */
  begin(applied: Applied, time = 0): void {
    this.#applied = applied;
    this.#time = Math.max(this.#time, time);
  }

  /** Runs `work` between two applies, after all that was asked for before it. */
  exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Stops applying and saving for good; the first reason stands. */
  fail(error: SnapshotError): SnapshotError {
    return this.#failure ??= error;
  }

  /**
   * Refuses to go on if nothing can be applied any more.
   *
   * @throws {SnapshotError} the reason
   */
  checkRunning(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Applies the next entry. Call it between two applies. Most machines apply at once: there is nothing to wait for.
   *
   * @param entry the entry
   * @param validated what {@linkcode validate} returned of its data, if it was asked
   * @throws {SnapshotError} `UNAVAILABLE` if the machine could not apply it, `UNSUPPORTED` if it does not know it:
   *   nothing is applied any more
   */
  apply(entry: LogEntry, validated?: unknown): void | Promise<void> {
    this.checkRunning();
    let applying: void | Promise<void>;
    try {
      applying = this.#apply(entry, validated);
    } catch (error) {
      throw this.#notApplied(entry, error);
    }
    if (applying === undefined) return this.#isApplied(entry);
    return Promise.resolve(applying).then(() => this.#isApplied(entry), (error) => {
      throw this.#notApplied(entry, error);
    });
  }

  #isApplied({ index, term, data, time, configuration = this.#applied.configuration }: LogEntry): void {
    this.#applied = { index, term, configuration };
    this.#appliedBytes += data.length;
    if (time !== undefined && time > this.#time) this.#time = time;
    for (const listener of this.#listeners) listener.applied?.();
  }

  #notApplied(entry: LogEntry, error: unknown): SnapshotError {
    return this.fail(hasCode(error, "UNSUPPORTED") ? notUnderstood(entry, error) : notApplied(entry, error));
  }

  /** Applies an entry once more, to a state that was loaded anew from before it. */
  async reapply(entry: LogEntry): Promise<void> {
    if (entry.configuration === undefined) await asReplica(() => this.#machine.apply(entry));
  }

  /** Refuses a command that its machine cannot apply; see {@linkcode StateMachine.validate}. */
  validate(data: Uint8Array): unknown {
    return this.#machine.validate?.(data);
  }

  /**
   * Refuses an entry that a newer program wrote. Other replicas committed it, so nothing else that `validate` may say
   * against it counts.
   *
   * @returns what `validate` returned, if it has nothing against the entry
   * @throws {SnapshotError} `UNSUPPORTED`
   */
  checkUnderstood(entry: LogEntry): unknown {
    if (entry.configuration !== undefined) return undefined;
    try {
      return this.validate(entry.data);
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) throw notUnderstood(entry, error);
      return undefined;
    }
  }

  /**
   * The synchronous part of a save, between two applies.
   *
   * @param signal cancels it; a view that was taken by then is released
   * @param now the wall clock
   */
  async prepare(signal: AbortSignal, now: () => number = Date.now): Promise<Prepared> {
    const preparing = this.exclusive(() => {
      throwIfCancelled(signal);
      this.checkRunning(); // an entry may be half applied
      const [start, takenAt] = [performance.now(), Math.max(now(), this.#time)];
      const task = checkTask(asReplica(() => this.#machine.save()));
      const duration = performance.now() - start;
      const applied = this.#applied;
      try {
        return { task, applied, saved: savedBy(task, applied), takenAt, appliedBytes: this.#appliedBytes, duration };
      } catch (error) {
        this.release(task!);
        throw error;
      }
    });
    try {
      return await raceAbort(preparing, signal);
    } catch (error) {
      preparing.then(({ task }) => task && this.release(task), () => {});
      throw error;
    }
  }

  /** Releases the view of a save. Never fails: an error of the machine is reported. */
  release(task: SaveTask): void {
    void this.callBack("release", () => task.release());
  }

  /**
   * Calls back the machine about a past event. Never rejects: an error of the callback is reported, and changes
   * nothing.
   */
  async callBack(callback: MachineCallback, call: () => void | Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      for (const listener of this.#listeners) listener.callbackFailed?.(callback, error);
    }
  }

  /** Lets the machine check a snapshot, and keep it if it is to be loaded; only if it {@linkcode canCheck}. */
  async check(reader: SnapshotReader, keep: boolean): Promise<unknown> {
    await this.trust(reader);
    return await asReplica(() => keep ? this.#machine.check!(reader, true) : this.#machine.check!(reader));
  }

  /**
   * Replaces the state, between two applies, while no part of it is in use.
   *
   * @param checkWanted throws if the state is not to be replaced any more
   * @param work loads the machine, and tells {@linkcode loaded}
   */
  replace<T>(checkWanted: () => void, work: () => Promise<T>): Promise<T> {
    return this.exclusive(async () => {
      checkWanted();
      await asReplica(() => this.#machine.pause?.());
      try {
        return await work();
      } finally {
        await this.callBack("reinitialize", () => asReplica(() => this.#machine.reinitialize?.()));
      }
    });
  }

  /**
   * Loads the machine. Its state is not that of {@linkcode applied} from then on, until {@linkcode loaded} is called.
   *
   * @param reader the snapshot
   * @param checked what {@linkcode check} returned of it
   */
  async load(reader: SnapshotReader, checked?: unknown): Promise<void> {
    await this.trust(reader);
    await asReplica(() => checked === undefined ? this.#machine.load(reader) : this.#machine.load(reader, checked));
  }

  /**
   * Checks that a snapshot is from somebody who is trusted.
   *
   * @throws {SnapshotError} `FORBIDDEN`, `CORRUPT`
   */
  async trust({ manifest }: SnapshotReader): Promise<void> {
    await verifiedBy(this.verifier, manifest);
  }

  /** Notes that the machine was loaded from a snapshot, which is durable. Call it between two applies. */
  loaded(meta: SnapshotMeta): void {
    this.begin(appliedOf(meta), meta.createdAt);
    for (const listener of this.#listeners) listener.loaded?.(meta);
  }

  /** Tells the storage of the machine its group: see {@linkcode StateMachine.bindGroup}. */
  async bindGroup(group: string): Promise<void> {
    await asReplica(() => this.#machine.bindGroup?.(group));
  }

  /**
   * The last entry that the storage of the machine has: see {@linkcode StateMachine.durable}.
   *
   * @throws {SnapshotError} `MALFORMED` if it cannot be what it says
   */
  durable(): DurablyApplied | undefined {
    const durable = asReplica(() => this.#machine.durable?.());
    if (durable !== undefined) checkDurable(durable);
    this.#isDiskBased = durable?.synced !== undefined;
    return durable;
  }

  /**
   * Has a disk-based machine write and sync what it has applied, between two applies.
   *
   * @throws {SnapshotError} `MALFORMED` if it says that it has other entries than were applied
   * @throws what its flush fails with
   */
  synced(): Promise<Synced> {
    return this.exclusive(async () => {
      this.checkRunning(); // an entry may be half applied
      try {
        await asReplica(() => this.#machine.flush!());
      } catch (error) {
        this.durable(); // it may not be able to say it any more
        throw error;
      }
      const durable = this.durable();
      if (durable?.synced !== undefined) checkApplied(durable, this.#applied);
      return { synced: durable?.synced, applied: this.#applied, appliedBytes: this.#appliedBytes };
    });
  }

  /** Has a durable machine write what it has applied. If that fails the log still has it, and closing it reports it. */
  async flush(): Promise<void> {
    try {
      if (this.isDurable) await asReplica(() => this.#machine.flush?.());
    } catch {
      // The log has it.
    }
  }

  #apply(entry: LogEntry, validated: unknown): void | Promise<void> {
    const machine = this.#machine;
    if (entry.configuration === undefined) return asReplica(() => machine.apply(entry, validated));
    if (machine.durable !== undefined) return asReplica(() => machine.reconfigure!(entry));
  }
}

/** The last entry that a snapshot includes. */
export function appliedOf(meta: SnapshotMeta): Applied {
  const { lastIncludedIndex: index, lastIncludedTerm: term, peers, oldPeers } = meta;
  return { index, term, configuration: { peers, ...(oldPeers !== undefined && { oldPeers }) } };
}

function notApplied({ index }: LogEntry, cause: unknown): SnapshotError {
  return new SnapshotError(
    "UNAVAILABLE",
    `The machine could not apply entry ${index}: ${messageOf(cause)}. Nothing is applied any more, since ` +
      `the state would not be that of the other replicas`,
    { index, cause },
  );
}

/** The error for an entry that a newer program wrote. */
function notUnderstood({ index }: LogEntry, cause: SnapshotError): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `This program does not understand entry ${index}: ${cause.message}. It was not applied, nor anything after it; ` +
      `log and snapshots are as they were, for the program that wrote it`,
    { ...cause.fields, index, cause },
  );
}

/** The error of a replica or an executor that was closed. */
export function closed(what: "executor" | "replica"): SnapshotError {
  return new SnapshotError("CLOSED", `The ${what} was closed`);
}
