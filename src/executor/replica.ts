/**
 * A state machine with its log and its snapshots.
 *
 * @module
 */

import { checkConfiguration, checkEntry, type Configuration, type LogEntry, type StateMachine } from "../state/mod.ts";
import type { ReplicaOptions } from "./replica_options.ts";
import { checkIndex, checkOptions, copyBytes, isReadable, listOf, required, unfit } from "../checks.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";
import { ownConfiguration, ownEntry, type ServedLog } from "../log/mod.ts";
import { isPassed, type SnapshotInfo, type SnapshotMeta, type SnapshotStorage } from "../snapshot/mod.ts";
import { listenerOf, withJson } from "../stream/mod.ts";
import { onEnd, Operation } from "../async/mod.ts";
import { checkNotification, type InstallNotification, type NotificationReply, type Source } from "../transfer/mod.ts";
import { checkSource } from "../transfer/client/mod.ts";
import { checkInstallOptions, checkPushOptions, checkReplicaOptions } from "./checks.ts";
import { type AnyLog, entriesOf, isShared } from "./any_log.ts";
import type { Beginning } from "./counted.ts";
import { begin, closeGiven } from "./durable.ts";
import type { InstallResult, SaveResult } from "./events.ts";
import { SnapshotExecutor } from "./executor.ts";
import { systemClock } from "./clock.ts";
import { followChecks, type FollowOptions } from "./follow_options.ts";
import { Follower } from "./follower.ts";
import { closed, FsmCaller } from "./fsm_caller.ts";
import { askFollowers, Leadership } from "./leadership.ts";
import { type ReplicaPushOptions, sendLive } from "./live.ts";
import { LogFeed } from "./log_feed.ts";
import { LogFollowers } from "./log_followers.ts";
import { NotifiedInstall } from "./notified.ts";
import type { SnapshotOptions } from "./options.ts";
import { OwnLogFollower } from "./own_log.ts";
import { archiveReceiver, discard, follow, type InstallOptions, pullReceiver } from "./receivers.ts";
import { ReplicaLog } from "./served_log.ts";
import { SharedFollower } from "./shared.ts";
import type { ReplicaStatus } from "./status.ts";

/**
 * Ties state machine, log and snapshots. With a `SqliteLog` and a `DirectoryStorage` it is a durable machine in one
 * process, without a server.
 *
 * What was acknowledged is in the newest good snapshot or in the log after it, whatever crashes when. One that is not
 * closed does not keep a process alive by the timers of its triggers; what runs, or is open, may.
 *
 * @category Replica
 * @typeParam M the state machine
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("hello", "world"));
 * const { snapshot, syncDuration } = await replica.snapshot();
 * console.assert(snapshot?.meta.lastIncludedIndex === 1n && syncDuration >= 0); // milliseconds
 * await replica.close();
 * ```
 */
export class Replica<M extends StateMachine> implements AsyncDisposable {
  /** The state machine. Not to be changed but by {@linkcode propose}. */
  readonly machine: M;
  readonly #fsm: FsmCaller;
  readonly #log: AnyLog;
  /** The storage of its snapshots. */
  readonly storage: SnapshotStorage;
  readonly #executor: SnapshotExecutor;
  readonly #notified: NotifiedInstall | undefined;
  /** Applies the log. */
  readonly #follower: OwnLogFollower | SharedFollower;
  readonly #leadership: Leadership;
  readonly #feed: LogFeed | undefined;
  #following: Follower | undefined;
  /** Tells the follower, which may be another one each time, that something was applied. */
  #onMoved: () => void = () => {};
  /** The log, as a handler serves it to followers; absent if it is shared with other replicas, who have it anyway. */
  readonly log: ServedLog | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: ReplicaOptions<M>, fsm: FsmCaller, beginning: Beginning) {
    const { machine, log, storage, term, onNotification } = options;
    this.machine = machine;
    this.#fsm = fsm;
    this.#log = log;
    this.storage = storage;
    const leadership = this.#leadership = new Leadership(() => fsm.applied.term);
    const { clock = systemClock() } = options;
    const followers = new LogFollowers(clock);
    const executor = new SnapshotExecutor({
      ...{ fsm, storage, log, beginning },
      held: () => followers.held,
      followers: (free, timeout) => followers.members(free, timeout),
    }, options);
    this.#executor = executor;
    const install = async (notification: InstallNotification, signal: AbortSignal) => {
      const found = await onNotification?.(withJson(notification), signal);
      throwIfCancelled(signal); // it was cancelled meanwhile: nobody would see what is installed now
      return found && found.sources.length > 0 ? { install: this.#install(found.sources, found.options) } : undefined;
    };
    this.#notified = onNotification && new NotifiedInstall(fsm, storage, install);
    if (isShared(log)) {
      this.#follower = new SharedFollower({ log, storage, executor, fsm, install });
      return;
    }
    const feed = this.#feed = new LogFeed(log, fsm);
    const moved = () => this.#onMoved();
    fsm.listen({ applied: moved, loaded: moved });
    this.log = new ReplicaLog({ log, feed, followers, leadership, group: () => storage.group ?? log.group });
    this.#follower = new OwnLogFollower(log, fsm, {
      term,
      now: () => clock.now(),
      checkLeads: () => leadership.check(),
      onAppended: (entries) => feed.appended(entries),
      onFull: () => executor.roomWanted(),
    });
  }

  /**
   * Opens a replica: loads the newest good snapshot, and applies the log after it, while timers and sockets have their
   * turn. A snapshot that is proven bad is quarantined. One that cannot be read or understood now stays where it is, an
   * event and {@linkcode status} name it, and the one before it is used, if the log leads from there to where the other
   * one ends. Of a shared log all is applied that is in it now; what comes later is applied as it comes. A machine that
   * says by `durable` what it has begins there: no snapshot is loaded that is not newer.
   *
   * If it fails, log and storage are closed: they can be opened again.
   *
   * @param options what it is made of
   * @throws {SnapshotError} `CORRUPT` if entries are missing between snapshot, or what the machine has, and log;
   *   `NOT_FOUND` if they were purged from a shared one, and no snapshot that has them could be installed;
   *   `UNAVAILABLE` if the log ends before what the machine has; `MALFORMED` if it is not the log of this machine, or
   *   the machine does not know what it has; `CANCELLED`
   * @throws what the newest snapshot cannot be used for, if older ones and the log do not give the same state
   * @throws {SnapshotError} `FORBIDDEN` if storage or log are of another group
   * @throws {SnapshotError} `UNSUPPORTED` if a newer program wrote an entry of the log: all is left as it is for it
   * @throws whatever the machine's `load` or `apply` fails with
   */
  static async open<M extends StateMachine>(options: ReplicaOptions<M>): Promise<Replica<M>> {
    let replica: Replica<M> | undefined;
    try {
      const { machine, signal, onEvent } = checkReplicaOptions(options);
      const fsm = new FsmCaller(machine, options.verifier);
      replica = new Replica(options, fsm, await begin(fsm, options));
      await replica.#follower.start(signal, listenerOf(onEvent));
      await askFollowers(replica.#leadership, options.followers ?? [], signal);
      return replica;
    } catch (error) {
      if (replica !== undefined) {
        replica.#fsm.fail(closed("replica")); // no last snapshot is taken of what was half replayed
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
    this.#leadership.check();
    return await this.#follower.propose({ data: own }, this.#fsm.validate(own));
  }

  /**
   * Changes the membership: appends an entry that says so.
   *
   * @param configuration the members from that entry on; snapshots say who they were
   * @throws {SnapshotError} as {@linkcode propose}; `MALFORMED`
   */
  async reconfigure(configuration: Configuration): Promise<LogEntry> {
    if (configuration === undefined) throw unfit("configuration", "an object", configuration);
    checkConfiguration(configuration, "configuration");
    this.#leadership.check();
    return await this.#follower.propose({ data: new Uint8Array(0), configuration: ownConfiguration(configuration) });
  }

  /**
   * Appends committed entries that another replica gave, and applies them. Those that are here already are passed over.
   *
   * @param entries in order, the first not beyond the next of the log
   * @throws {SnapshotError} `MALFORMED` if there is a gap: install a snapshot then; or if the log is a shared one.
   *   `UNSUPPORTED` if a newer program wrote one of them: none is appended, and the replica keeps running
   */
  async append(entries: readonly LogEntry[]): Promise<void> {
    if (!Array.isArray(entries)) throw unfit("entries", "an array", entries);
    const own = Array.from(entries as readonly LogEntry[], (entry, i): LogEntry => {
      checkEntry(entry, `entries[${i}]`);
      return ownEntry(entry, `entries[${i}]`);
    });
    await this.#follower.append(own);
  }

  /** The entries of the log from an index on, to be given to other replicas; throws `NOT_FOUND` if it was purged. */
  entries(from: bigint): AsyncIterable<LogEntry> {
    checkIndex(from, "from");
    return entriesOf(this.#log, from);
  }

  /**
   * Follows other replicas, over `fetch`: installs a snapshot if it must, goes on by their log, and stays on it. From
   * now on this replica takes no proposals, until it is promoted: see {@linkcode Follower}.
   *
   * @param sources the handlers of other replicas (`snapshotHandler` with a `target`), the preferred one first
   * @param options see {@linkcode FollowOptions}
   * @throws {SnapshotError} `UNSUPPORTED` if the log is a shared one, or knows no digest of its history; `BUSY` if it
   *   follows already; `MALFORMED`, `CLOSED`
   */
  follow(sources: readonly Source[], options: FollowOptions = {}): Follower {
    listOf(required(checkSource))(sources, "sources");
    if (sources.length === 0) throw unfit("sources", "a list of a server or more", sources);
    checkOptions(options, followChecks());
    if (this.#closed !== undefined) throw closed("replica");
    const log = this.#log;
    if (isShared(log) || !(this.#follower instanceof OwnLogFollower)) {
      throw new SnapshotError("UNSUPPORTED", "A replica of a shared log applies that: there is nothing else to follow");
    }
    if (log.digest === undefined || log.bindDigest === undefined) {
      throw new SnapshotError("UNSUPPORTED", "This log has no digest and bindDigest, so that it cannot be compared");
    }
    const before = this.#following;
    if (before !== undefined && before.status().state !== "stopped") {
      throw new SnapshotError("BUSY", "This replica follows already: close its follower first");
    }
    void before?.end(); // whom it told that it leads need not be told any more
    const applier = this.#follower;
    const leadership = this.#leadership;
    return this.#following = new Follower(
      {
        log,
        fsm: this.#fsm,
        leadership,
        group: () => this.storage.group ?? log.group,
        onMoved: (listener) => this.#onMoved = listener,
        append: (entries) => applier.append(entries),
        install: (sources, options) => this.install(sources, options),
        lead: (term) => {
          applier.term = term;
          const { configuration } = this.#fsm.applied;
          return leadership.lead(() => applier.propose({ data: new Uint8Array(0), configuration }));
        },
      },
      sources,
      options,
    );
  }

  /**
   * Takes a snapshot, while entries go on being applied, or joins the save that is running: see
   * {@linkcode SnapshotExecutor.snapshot}.
   *
   * @param options the gap, the signal, and what happens while a save is running
   */
  snapshot(options?: SnapshotOptions): Operation<SaveResult> {
    return this.#executor.snapshot(options);
  }

  /**
   * Installs a snapshot: receives it, verifies it, makes it durable, and then replaces the state by it. One of another
   * group is `FORBIDDEN` before anything of it is written.
   *
   * @param from an archive, as it comes from a `PUT`; or the servers to pull from
   * @param options which, and the signal
   * @returns the install, which says `upToDate` if the state here is as new; see {@linkcode SnapshotExecutor.install}
   */
  install(
    from: ReadableStream<Uint8Array> | readonly Source[],
    options: InstallOptions = {},
  ): Operation<InstallResult> {
    const install = this.#install(from, options);
    return new Operation(async (tracker) => {
      try {
        return withJson({ upToDate: false, snapshot: await follow(install, tracker) });
      } catch (error) {
        if (!isPassed(error, this.#fsm.applied.index)) throw error;
        const { newest } = this.#executor;
        return withJson({ upToDate: true, ...(newest !== undefined && { snapshot: newest }) });
      }
    });
  }

  /** As {@linkcode install}; fails with `STALE` if the state here is as new. */
  #install(
    from: ReadableStream<Uint8Array> | readonly Source[],
    options: InstallOptions = {},
  ): Operation<SnapshotInfo> {
    checkInstallOptions(options);
    const trusting = { verifier: this.#fsm.verifier, ...options };
    const stream = isReadable(from) ? from : undefined;
    if (stream === undefined) listOf(required(checkSource))(from, "from");
    const receiver = isReadable(from)
      ? archiveReceiver(from, this.storage, trusting)
      : pullReceiver(from, this.storage, trusting);
    const install = this.#executor.install(receiver, options.signal);
    if (stream !== undefined) onEnd(install, (error) => discard(stream, error));
    return install;
  }

  /**
   * Sends its state, as it is now, to another node that installs it: straight from a view of the machine, while entries
   * go on being applied. Nothing is stored here. Counts as a save: one at a time, with the same time-outs.
   *
   * @param target the other node's handler
   * @param options the signal, the rate, who signs, and the key if it is to be stored encrypted there
   * @returns work that gives what was sent, once it is installed; nothing if there was nothing to save, or the other
   *   node has a state that is as new
   */
  push(target: Source, options: ReplicaPushOptions = {}): Operation<SnapshotMeta | undefined> {
    checkSource(target, "target");
    checkPushOptions(options);
    return this.#executor.live(options.signal, (signal, tracker) => {
      const { group } = this.storage;
      return sendLive(this.#fsm, target, { ...options, signal, group }, tracker);
    });
  }

  /**
   * Is told by a leader that its log begins later than what is needed next: installs a snapshot from where
   * {@linkcode ReplicaOptions.onNotification} says. Answers at once; asked again, it says how far it is.
   *
   * @param notification what the leader says
   */
  async notify(notification: InstallNotification): Promise<NotificationReply> {
    checkNotification(notification);
    return withJson(this.#notified?.notify(notification) ?? { result: "CONF_MISMATCH" });
  }

  /** Returns its state, which is JSON too: see {@linkcode ReplicaStatus.toJSON}. */
  status(): ReplicaStatus {
    const { index, term, configuration } = this.#fsm.applied;
    const { problem } = this.#follower;
    const { lastFailure } = this.#executor;
    const { progress } = this.#executor;
    return withJson({
      state: this.#executor.state,
      group: this.storage.group,
      appliedIndex: index,
      appliedTerm: term,
      configuration,
      snapshot: this.#executor.newest,
      unusable: this.#executor.unusable,
      firstIndex: this.#log.firstIndex,
      lastIndex: this.#log.lastIndex,
      role: this.#leadership.role,
      ...(this.#leadership.leader !== undefined && { leader: this.#leadership.leader }),
      logBytes: this.#log.byteLength,
      metrics: withJson(this.#executor.metrics),
      failing: this.#executor.failing,
      ...(progress !== undefined && { progress }),
      ...(lastFailure !== undefined && { lastFailure }),
      ...(problem !== undefined && { problem }),
    });
  }

  /**
   * Makes the newest snapshot one that can be sent; a handler whose `target` is this replica asks for it when somebody
   * wants the newest. Of a machine that keeps its state on a disk, for which no snapshots are taken otherwise, one is
   * taken if there is none from which the log leads on.
   *
   * @throws as {@linkcode snapshot}, if one has to be taken
   */
  sendable(): Promise<void> {
    return this.#executor.sendable();
  }

  /**
   * Drops what need not be kept of the log; also done after each snapshot. A machine that keeps its state on a disk is
   * flushed first, and the log dropped up to where it has it.
   */
  purge(): Promise<void> {
    return this.#executor.purge();
  }

  /** Applies what was proposed, ends what is running, and closes log and storage. */
  close(): Promise<void> {
    return this.#closed ??= (async () => {
      const following = this.#following?.end();
      await this.#follower.stop(); // begins in this turn, so that nothing more is taken
      await following;
      this.#feed?.close();
      await this.#executor.close();
      await this.#fsm.exclusive(() => this.#fsm.flush());
      await this.#log.close();
      await this.storage.close();
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
