/**
 * A state machine with its log and its snapshots.
 *
 * @module
 */

import {
  type Applied,
  checkConfiguration,
  checkEntry,
  type Configuration,
  type LogEntry,
  type StateMachine,
} from "../state/mod.ts";
import type { ReplicaOptions } from "./replica_options.ts";
import { checkIndex, copyBytes, isReadable, listOf, required, unfit } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { checkFollows, type LogStorage, ownConfiguration, ownContent } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotMeta, SnapshotStorage } from "../snapshot/mod.ts";
import { neverThrowing, type Operation } from "../async/mod.ts";
import { checkNotification, type InstallNotification, type NotificationReply, type Source } from "../transfer/mod.ts";
import { checkSource } from "../transfer/client/mod.ts";
import { checkInstallOptions, checkPushOptions, checkReplicaOptions } from "./checks.ts";
import type { UnusableSnapshot } from "./counted.ts";
import { appliedOf, begin, type Beginning, calledByReplica, flush } from "./durable.ts";
import type { ExecutorMetrics, ExecutorState, SaveResult } from "./events.ts";
import { SnapshotExecutor } from "./executor.ts";
import { closeGiven } from "./given.ts";
import { type ReplicaPushOptions, sendLive } from "./live.ts";
import { NotifiedInstall } from "./notified.ts";
import type { SnapshotOptions } from "./options.ts";
import { archiveReceiver, discard, type InstallOptions, pullReceiver } from "./receivers.ts";
import { loadNewest } from "./recovery.ts";
import { isShared, SharedFollower, SharedLogView } from "./shared.ts";
import { Turns } from "./turns.ts";

/** Entries appended and applied in one go. */
const BATCH = 1024;

/** The interval at which an opening reports its progress, in milliseconds. */
const TELL_EVERY = 100;

/** Where a {@linkcode Replica} stands. */
export interface ReplicaStatus {
  /** The state of its executor. */
  readonly state: ExecutorState;
  /** The name of its group, if it has one. */
  readonly group: string | undefined;
  /** The last entry that was applied. */
  readonly appliedIndex: bigint;
  /** Its term. */
  readonly appliedTerm: bigint;
  /** The members. */
  readonly configuration: Configuration;
  /** The newest snapshot that counts: this replica has saved or loaded it, or tried it, and it was not found bad since. */
  readonly snapshot: SnapshotInfo | undefined;
  /** Snapshots in the storage that this replica could not use, and why, newest first. They stay where they are. */
  readonly unusable: readonly UnusableSnapshot[];
  /** The first entry of the log. */
  readonly firstIndex: bigint;
  /** The last entry of the log. */
  readonly lastIndex: bigint;
  /** Bytes of the log. */
  readonly logBytes: number;
  /** Counts. */
  readonly metrics: ExecutorMetrics;
  /** Why nothing of a shared log is applied just now, and what to do; it is tried again. */
  readonly problem?: SnapshotError;
}

/** Something to be appended and applied. */
interface Pending {
  /** Gives the entries; those that are proposed get their index and term here. */
  readonly entries: (last: Pick<LogEntry, "index" | "term">) => readonly LogEntry[];
  readonly resolve: (entries: readonly LogEntry[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Ties state machine, log and snapshots. With a `SqliteLog` and a `DirectoryStorage` it is a durable machine in one
 * process, without a server.
 *
 * What was acknowledged is in the newest good snapshot or in the log after it, whatever crashes when.
 *
 * @typeParam M the state machine
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("hello", "world"));
 * const { snapshot, syncDuration } = await replica.snapshot().result;
 * console.assert(snapshot?.meta.lastIncludedIndex === 1n && syncDuration < 100);
 * await replica.close();
 * ```
 */
export class Replica<M extends StateMachine> implements AsyncDisposable {
  /** The state machine. Not to be changed but by {@linkcode propose}. */
  readonly machine: M;
  /** The same, as it is called here. */
  readonly #machine: M;
  readonly #log: LogStorage;
  readonly #storage: SnapshotStorage;
  readonly #executor: SnapshotExecutor;
  readonly #term: bigint | undefined;
  readonly #notified: NotifiedInstall | undefined;
  /** Applies a shared log. */
  readonly #shared: SharedFollower | undefined;
  #applied: Applied;
  /** The work on the machine, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #queue: Pending[] = [];
  #draining: Promise<void> | undefined;
  readonly #turns = new Turns();
  /** Why nothing can be applied any more. */
  #failure: SnapshotError | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: ReplicaOptions<M>, machine: M, { loaded, had, applied, unusable }: Beginning) {
    const { storage, term } = options;
    const log = isShared(options.log) ? new SharedLogView(options.log) : options.log;
    this.machine = options.machine;
    this.#machine = machine;
    this.#log = log;
    this.#storage = storage;
    this.#term = term;
    const { onNotification } = options;
    const install = async (notification: InstallNotification, signal: AbortSignal) => {
      const found = await onNotification?.(notification, signal);
      throwIfCancelled(signal); // it was given up meanwhile: nobody would see what is installed now
      return found && found.sources.length > 0 ? this.install(found.sources, found.options) : undefined;
    };
    this.#notified = onNotification && new NotifiedInstall({
      group: () => storage.group,
      applied: () => this.#applied.index,
      install,
    });
    this.#applied = applied;
    this.#executor = new SnapshotExecutor({
      machine,
      storage,
      log,
      isShared: isShared(options.log),
      newest: loaded,
      had,
      unusable,
      applied: () => this.#applied,
      checkSavable: () => this.#checkRunning(),
      exclusive: (work) => this.#exclusive(work),
      loaded: (meta) => {
        this.#applied = appliedOf(meta);
        if (meta.group !== undefined) storage.bindGroup(meta.group); // the first that came has said it
        this.#shared?.moved();
      },
      restore: (cause) => this.#restore(cause),
    }, options);
    this.#shared = isShared(options.log)
      ? new SharedFollower({
        log: options.log,
        storage,
        executor: this.#executor,
        applied: () => this.#applied.index,
        exclusive: (work) => this.#exclusive(work),
        apply: (entry) => this.#apply(entry),
        turns: this.#turns,
        fail: (error) => this.#failure ??= error,
        install,
      })
      : undefined;
  }

  /**
   * Opens a replica: loads the newest good snapshot, and applies the log after it, while timers and sockets have their
   * turn. A snapshot that is proven bad is quarantined. One that cannot be read or understood now stays where it is, an event
   * and {@linkcode status} name it, and the one before it is used, if the log leads from there to where the other one ends.
   * Of a shared log all is applied that is in it now; what comes later is applied as it comes. A machine that says by `durable`
   * what it has begins there: no snapshot is loaded that is not newer.
   *
   * If it fails, log and storage are closed: they can be opened again.
   *
   * @param options what it is made of
   * @throws {SnapshotError} `CORRUPT` if entries are missing between snapshot, or what the machine has, and log; `NOT_FOUND`
   *   if they were purged from a shared one, and no snapshot that has them could be installed; `UNAVAILABLE` if the log ends
   *   before what the machine has; `MALFORMED` if it is not the log of this machine, or the machine does not know what it
   *   has; `CANCELLED`
   * @throws what the newest snapshot cannot be used for, if older ones and the log do not give the same state
   * @throws {SnapshotError} `FORBIDDEN` if storage or log are of another group
   * @throws {SnapshotError} `UNSUPPORTED` if a newer program wrote an entry of the log: all is left as it is for it
   * @throws whatever the machine's `load` or `apply` fails with
   */
  static async open<M extends StateMachine>(options: ReplicaOptions<M>): Promise<Replica<M>> {
    let replica: Replica<M> | undefined;
    try {
      checkReplicaOptions(options);
      const machine = calledByReplica(options.machine);
      replica = new Replica(options, machine, await begin({ ...options, machine }));
      await replica.#start(options);
      return replica;
    } catch (error) {
      if (replica !== undefined) {
        replica.#failure ??= closed(); // no last snapshot is taken of what was half replayed
        await replica.close().catch(() => {});
      } else await closeGiven(options);
      throw error;
    }
  }

  /**
   * Appends a command to the log and applies it. Many at once share one write to the disk.
   *
   * @param data the command
   * @returns the entry: it is durable, and was applied
   * @throws {SnapshotError} `CLOSED`, `NO_SPACE` … : it was not appended; or `UNAVAILABLE` if it was, and the machine
   *   could not apply it
   * @throws whatever the machine's `validate` refuses it with
   */
  async propose(data: Uint8Array): Promise<LogEntry> {
    const own = copyBytes(data, "data"); // it is appended later, and kept
    this.machine.validate?.(own);
    return await this.#proposeEntry({ data: own });
  }

  /**
   * Changes the membership: appends an entry that says so.
   *
   * @param configuration the members from that entry on; snapshots say who they were
   */
  async reconfigure(configuration: Configuration): Promise<LogEntry> {
    if (configuration === undefined) throw unfit("configuration", "an object", configuration);
    checkConfiguration(configuration, "configuration");
    return await this.#proposeEntry({ data: new Uint8Array(0), configuration: ownConfiguration(configuration) });
  }

  /**
   * Appends committed entries that another replica gave, and applies them. Those that are here already are passed over.
   *
   * @param entries in order, the first not beyond the next of the log
   * @throws {SnapshotError} `MALFORMED` if there is a gap: install a snapshot then; or if the log is a shared one.
   *   `UNSUPPORTED` if a newer program wrote one of them: none is appended, and the replica keeps running
   */
  async append(entries: readonly LogEntry[]): Promise<void> {
    if (this.#shared !== undefined) return await this.#log.append(entries); // which says why not
    if (!Array.isArray(entries)) throw unfit("entries", "an array", entries);
    const own = Array.from(entries as readonly LogEntry[], (entry, i): LogEntry => {
      checkEntry(entry, `entries[${i}]`);
      return { index: entry.index, term: entry.term, ...ownContent(entry, `entries[${i}]`) };
    });
    await this.#enqueue((last) => {
      const fresh = own.filter(({ index }) => index > last.index);
      for (const entry of fresh) this.#checkUnderstood(entry);
      return fresh;
    });
  }

  /** The entries of the log from an index on, to be given to other replicas. */
  entries(from: bigint): AsyncIterable<LogEntry> {
    checkIndex(from, "from");
    return this.#log.entries(from);
  }

  /** Takes a snapshot, while entries go on being applied: see {@linkcode SnapshotExecutor.snapshot}. */
  snapshot(options?: SnapshotOptions): Operation<SaveResult> {
    return this.#executor.snapshot(options);
  }

  /**
   * Installs a snapshot: receives it, verifies it, makes it durable, and then replaces the state by it. One of another
   * group is `FORBIDDEN` before anything of it is written.
   *
   * @param from an archive, as it comes from a `PUT`; or the servers to pull from
   * @param options which, and the signal
   * @returns the install: see {@linkcode SnapshotExecutor.install}
   */
  install(from: ReadableStream<Uint8Array> | readonly Source[], options: InstallOptions = {}): Operation<SnapshotInfo> {
    checkInstallOptions(options);
    const stream = isReadable(from) ? from : undefined;
    if (stream === undefined) listOf(required(checkSource))(from, "from");
    const receiver = isReadable(from)
      ? archiveReceiver(from, this.#storage, options)
      : pullReceiver(from, this.#storage, options);
    const install = this.#executor.install(receiver, options.signal);
    if (stream !== undefined) install.result.then(() => discard(stream), (error) => discard(stream, error));
    return install;
  }

  /**
   * Sends its state, as it is now, to another node that installs it: straight from a view of the machine, while entries go
   * on being applied. Nothing is stored here. Counts as a save: one at a time, with the same time-outs.
   *
   * @param target the other node's handler
   * @param options the signal, the rate, who signs, and the key if it is to be stored encrypted there
   * @returns work that gives what was sent, once it is installed; nothing if there was nothing to save
   */
  push(target: Source, options: ReplicaPushOptions = {}): Operation<SnapshotMeta | undefined> {
    checkSource(target, "target");
    checkPushOptions(options);
    return this.#executor.live(
      options.signal,
      (prepare, signal, tracker, callBack) => {
        const { group } = this.#storage;
        return sendLive(prepare, target, { ...options, signal, group }, tracker, callBack);
      },
    );
  }

  /**
   * Is told by a leader that its log begins later than what is needed next: installs a snapshot from where
   * {@linkcode ReplicaOptions.onNotification} says. Answers at once; asked again, it says how far it is.
   *
   * @param notification what the leader says
   */
  async notify(notification: InstallNotification): Promise<NotificationReply> {
    checkNotification(notification);
    return this.#notified?.notify(notification) ?? { result: "CONF_MISMATCH" };
  }

  /** Where it stands. */
  status(): ReplicaStatus {
    const { index, term, configuration } = this.#applied;
    const problem = this.#shared?.problem;
    return {
      state: this.#executor.state,
      group: this.#storage.group,
      appliedIndex: index,
      appliedTerm: term,
      configuration,
      snapshot: this.#executor.newest,
      unusable: this.#executor.unusable,
      firstIndex: this.#log.firstIndex,
      lastIndex: this.#log.lastIndex,
      logBytes: this.#log.byteLength,
      metrics: this.#executor.metrics,
      ...(problem !== undefined && { problem }),
    };
  }

  /** Drops what need not be kept of the log; also done after each snapshot. */
  purge(): Promise<void> {
    return this.#executor.purge();
  }

  /** Applies what was proposed, ends what is running, and closes log and storage. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      await this.#draining;
      await this.#shared?.stop();
      await this.#executor.close();
      await this.#turn.catch(() => {});
      await flush(this.#machine);
      await this.#log.close();
      await this.#storage.close();
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #proposeEntry(entry: Pick<LogEntry, "data" | "configuration">): Promise<LogEntry> {
    if (this.#shared !== undefined) {
      if (this.#closed !== undefined) throw closed();
      this.#checkRunning();
      return await this.#shared.propose(entry);
    }
    const [proposed] = await this.#enqueue((last) => {
      const term = this.#term ?? (last.term > 0n ? last.term : 1n);
      return [{ ...entry, index: last.index + 1n, term }];
    });
    return proposed!;
  }

  #enqueue(entries: Pending["entries"]): Promise<readonly LogEntry[]> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(closed());
      this.#queue.push({ entries, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Appends and applies what is queued; what is queued meanwhile goes with the next batch. */
  async #drain(): Promise<void> {
    await Promise.resolve(); // all that is proposed in this turn goes together
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH);
      await this.#exclusive(() => this.#appendAndApply(batch));
      if (this.#turns.step()) await this.#turns.turn();
    }
    this.#draining = undefined; // in the turn that saw the queue empty, so that nothing is queued that nobody takes
  }

  async #appendAndApply(batch: readonly Pending[]): Promise<void> {
    try {
      this.#checkRunning();
      // The log ends with what was applied, unless an install could not make it so.
      const { index, term } = this.#applied;
      if (this.#log.lastIndex < index) await this.#log.reset(index, term);
      const { accepted, entries } = choose(batch, { index, term });
      await this.#log.append(entries);
      for (const [pending, entries] of accepted) {
        for (const entry of entries) await this.#apply(entry);
        pending.resolve(entries);
      }
    } catch (error) {
      for (const pending of batch) pending.reject(error); // but for those that were settled
      if (hasCode(error, "NO_SPACE") && this.#failure === undefined) this.#executor.roomWanted();
    }
  }

  async #start({ log, signal, onEvent = () => {} }: ReplicaOptions<M>): Promise<void> {
    if (this.#shared !== undefined) return await this.#shared.start(signal);
    const tell = neverThrowing(onEvent);
    let told = performance.now();
    await this.#exclusive(async () => { // a trigger may be set off
      for await (const entry of (log as LogStorage).entries(this.#applied.index + 1n)) {
        await this.#apply(entry);
        if (!this.#turns.step()) continue;
        await this.#turns.turn();
        throwIfCancelled(signal);
        if (performance.now() - told < TELL_EVERY) continue;
        told = performance.now();
        tell({ type: "replayed", index: entry.index, lastIndex: log.lastIndex });
      }
    });
    tell({ type: "replayed", index: this.#applied.index, lastIndex: log.lastIndex });
  }

  /** Gives the machine back the state that it had before it was loaded from what did not become durable; or stops. */
  async #restore(cause: unknown): Promise<void> {
    const { index: applied } = this.#applied;
    try {
      const snapshot = await loadNewest({ storage: this.#storage, machine: this.#machine, onUnusable: () => {} });
      if (snapshot === undefined) throw new Error("there is no snapshot to begin with");
      let { lastIncludedIndex: index } = snapshot.meta;
      for await (const entry of this.#log.entries(index + 1n)) {
        if (entry.index > applied) break;
        if (entry.configuration === undefined) await this.#machine.apply(entry);
        index = entry.index;
        if (this.#turns.step()) await this.#turns.turn();
      }
      if (index !== applied) throw new Error(`the log leads to ${index}, and not to ${applied}`);
    } catch (error) {
      this.#failure ??= new SnapshotError(
        "UNAVAILABLE",
        `A snapshot was loaded, and could not be made durable (${messageOf(cause)}); and the state before it, at ` +
          `${applied}, could not be had again: ${messageOf(error)}. Nothing is applied any more: open the replica anew`,
        { index: applied, cause },
      );
    }
  }

  #checkRunning(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #apply(entry: LogEntry): Promise<void> {
    try {
      const applying = entry.configuration === undefined
        ? this.#machine.apply(entry)
        : this.#machine.durable && this.#machine.reconfigure!(entry);
      if (applying !== undefined) await applying; // most machines apply at once: no turn of the event loop each
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) throw this.#failure = notUnderstood(entry, error);
      this.#failure = new SnapshotError(
        "UNAVAILABLE",
        `The machine could not apply entry ${entry.index}: ${messageOf(error)}. Nothing is applied any more, since ` +
          `the state would not be that of the other replicas`,
        { index: entry.index, cause: error },
      );
      throw this.#failure;
    }
    const { index, term, configuration = this.#applied.configuration } = entry;
    this.#applied = { index, term, configuration };
    this.#executor.applied(entry.data.length);
  }

  /** Other replicas committed it, so nothing else that `validate` may say against it counts. */
  #checkUnderstood(entry: LogEntry): void {
    if (entry.configuration !== undefined) return;
    try {
      this.machine.validate?.(entry.data);
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) throw notUnderstood(entry, error);
    }
  }

  #exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
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

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The replica was closed");
}

/** Returns the part of a batch that can be appended to a log; the rest is rejected, and harms no other. */
function choose(batch: readonly Pending[], last: Pick<LogEntry, "index" | "term">): {
  readonly accepted: readonly (readonly [Pending, readonly LogEntry[]])[];
  readonly entries: readonly LogEntry[];
} {
  const accepted: [Pending, readonly LogEntry[]][] = [];
  const all: LogEntry[] = [];
  for (const pending of batch) {
    try {
      const entries = pending.entries(last);
      checkFollows(entries, last.index, last.term);
      for (const entry of entries) all.push(entry); // maybe too many for an argument list
      last = entries.at(-1) ?? last;
      accepted.push([pending, entries]);
    } catch (error) {
      pending.reject(error);
    }
  }
  return { accepted, entries: all };
}
