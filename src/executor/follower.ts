/**
 * A follower: a replica that applies the log of another, over `fetch`.
 *
 * @module
 */

import { checkIndex, checkOptions, checkSignal } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type Backoff, backoff, LinkedAbort, pause, raceAbort } from "../async/mod.ts";
import type { LogBatch, LogHeader, LogHeartbeat } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { listenerOf, withJson } from "../stream/mod.ts";
import { LogPurged, LogSource, type Source, sourceOptions } from "../transfer/mod.ts";
import { Appends } from "./appends.ts";
import { FollowerLag } from "./follower_lag.ts";
import type { FollowerContext, FollowerEvent, FollowerStatus, FollowOptions } from "./follow_options.ts";
import { explainHistory } from "./histories.ts";
import { tellLeader } from "./leadership.ts";
import { Behind, distrust, type Followed, OtherSources } from "./other_sources.ts";

/** The longest silence of a source, in milliseconds; it says something every two seconds. */
const TIMEOUT = 10_000;
/** The waits before all sources are tried again. */
const RETRY: Backoff = { first: 100, longest: 5000, jitter: [0.75, 1.25] };
/** How often a source is told what is durable here, and how often the other sources are looked at; milliseconds. */
const ACKNOWLEDGE = 1000;
const LOOK = 10_000;

/**
 * Follows other replicas: installs a snapshot if it must, goes on by their log, and stays on it. Every batch is proven
 * to be of the history that is here before it is appended. While it runs, the replica takes no proposals.
 *
 * @category Replica
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 * import { snapshotHandler, utf8Codec } from "@snapstream/snapstream";
 *
 * const open = (machine: KeyValueMachine<string>) =>
 *   Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * const [first, second] = [new KeyValueMachine(utf8Codec()), new KeyValueMachine(utf8Codec())];
 * const leader = await open(first);
 * const handler = snapshotHandler(new MemoryStorage(), { target: leader });
 * const replica = await open(second);
 * const follower = replica.follow([{ url: "http://leader", fetch: (request) => handler(request) }]);
 *
 * const { index } = await leader.propose(first.put("hello", "world"));
 * await follower.caughtUp(index);
 * console.assert(second.get("hello") === "world");
 * await Promise.all([replica.close(), leader.close(), handler.close()]);
 * ```
 */
export class Follower implements AsyncDisposable {
  readonly #context: FollowerContext;
  readonly #options: FollowOptions;
  readonly #sources: readonly Followed[];
  readonly #name: string;
  readonly #tell: (event: FollowerEvent) => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #isPromoting = false;
  /** The one to be tried next. */
  #at = 0;
  #state: FollowerStatus["state"] = "connecting";
  #problem: SnapshotError | undefined;
  readonly #lag = new FollowerLag();
  /** True once a source's history was the one here: before that, an entry here may be another than the leader's. */
  #isOneHistory = false;
  #waiters: { readonly index: bigint; readonly resolve: () => void }[] = [];

  /**
   * Begins to follow.
   *
   * @param context the replica
   * @param sources whom to follow, the preferred one first
   * @param options see {@linkcode FollowOptions}
   */
  constructor(context: FollowerContext, sources: readonly Source[], options: FollowOptions) {
    this.#context = context;
    this.#options = options;
    this.#sources = sources.map((given) => ({
      given,
      log: new LogSource(given, options.timeout ?? TIMEOUT),
      failures: 0,
      trustedFrom: 0,
    }));
    this.#name = options.name ?? crypto.randomUUID();
    this.#tell = listenerOf(options.onEvent);
    context.leadership.follow(this.#source.log.url);
    context.onMoved(() => this.#moved());
    this.#running = this.#run();
  }

  get #source(): Followed {
    return this.#sources[this.#at]!;
  }

  /** Returns its state. */
  status(): FollowerStatus {
    const { index } = this.#context.fsm.applied;
    return withJson({
      state: this.#state,
      source: this.#state === "stopped" ? undefined : this.#source.log.url,
      appliedIndex: index,
      sourceIndex: this.#lag.sourceIndex,
      lag: this.#lag.at(index),
      ...(this.#problem !== undefined && { problem: this.#problem }),
    });
  }

  /**
   * Waits until an entry was applied here: to read one's own writes.
   *
   * @param index the entry; by default the last one that the source has now
   * @param options the signal
   * @throws {SnapshotError} `CLOSED` if it is stopped before, `CANCELLED`; what the source fails with
   */
  async caughtUp(index?: bigint, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (index !== undefined) checkIndex(index, "index");
    const { signal } = checkOptions(options, { signal: checkSignal });
    throwIfCancelled(signal);
    const wanted = index ?? (await this.#source.log.status(signal ?? this.#stop.signal)).last;
    if (this.#isOneHistory && this.#context.fsm.applied.index >= wanted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { index: wanted, resolve };
    this.#waiters.push(waiter);
    try {
      await raceAbort(raceAbort(promise, this.#stop.signal), signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new SnapshotError("CLOSED", `It was stopped before entry ${wanted} was applied`, { index: wanted });
    } finally {
      const at = this.#waiters.indexOf(waiter);
      if (at >= 0) this.#waiters.splice(at, 1);
    }
  }

  /**
   * Stops following, and makes the replica the leader: its first entry, which changes no state, has a term above all
   * that are known here, and is durable when this resolves. The former sources are told as soon as they answer; one
   * that still leads takes no proposals any more then. What only they have, and had not sent, is not here.
   *
   * @param options a higher term, if others may have been promoted that this one has not heard of
   * @returns the entry
   * @throws {SnapshotError} `MALFORMED` if the term is not above all known, `BUSY` while it is promoted, or `NO_SPACE`
   */
  async promote(options: { readonly term?: bigint } = {}): Promise<LogEntry> {
    const { leadership } = this.#context;
    const { term = leadership.next } = checkOptions(options, { term: checkIndex });
    if (this.#isPromoting) throw new SnapshotError("BUSY", "This follower is being promoted already");
    this.#isPromoting = true; // else the entries of both would have the later one's term
    let entry: LogEntry;
    try {
      await this.close();
      if (term <= leadership.term) {
        throw new SnapshotError("MALFORMED", `Term ${term} is not above ${leadership.term}, which is known here`, {
          expected: leadership.term + 1n,
          actual: term,
        });
      }
      entry = await this.#context.lead(term);
    } finally {
      this.#isPromoting = false;
    }
    this.#tell({ type: "promoted", term, index: entry.index });
    for (const { log } of this.#sources) {
      void tellLeader(log, term, this.#options.address, this.#closing.signal, () => {
        this.#tell({ type: "told", source: log.url, term });
      });
    }
    return entry;
  }

  /** Stops following. The replica takes no proposals, unless it is promoted. */
  async close(): Promise<void> {
    this.#stop.abort(new SnapshotError("CLOSED", "The follower was stopped"));
    await this.#running;
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Follows one source after the other, until it is stopped. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      const source = this.#source;
      const before = this.#context.fsm.applied.index;
      let error: unknown;
      try {
        await this.#follow(source);
        error = new SnapshotError("UNAVAILABLE", `${source.log.url} has ended its log: it is closed, or restarts`, {
          source: source.log.url,
        });
      } catch (failure) {
        error = failure;
      }
      if (signal.aborted) break;
      error = await this.#installFor(error, source) ?? error;
      if (signal.aborted) break;
      if (this.#context.fsm.applied.index > before) failures = 0;
      if (error === INSTALLED) continue;
      distrust(source);
      this.#tell({ type: "disconnected", source: source.log.url, error });
      this.#state = "connecting";
      this.#problem = asError(error);
      if (error instanceof Behind) {
        this.#at = error.other;
        continue;
      }
      this.#at = (this.#at + 1) % this.#sources.length;
      // All sources are tried at once; then it waits.
      const rounds = Math.floor(++failures / this.#sources.length);
      if (failures % this.#sources.length === 0) await pause(backoff(rounds - 1, RETRY, error), signal).catch(() => {});
    }
    this.#state = "stopped";
  }

  /** Installs a snapshot if that is what the failure asks for. Returns what is to be told instead of it. */
  async #installFor(error: unknown, source: Followed): Promise<unknown> {
    if (hasCode(error, "STALE")) {
      return await explainHistory(error, source.log, this.#context, this.#stop.signal).catch(() => undefined);
    }
    if (!(error instanceof LogPurged)) return undefined;
    this.#state = "installing";
    this.#tell({ type: "installing", source: source.log.url, first: error.fields.expected as bigint });
    try {
      this.#checkTerm((await source.log.status(this.#stop.signal)).term, source.log.url);
      // The snapshot is that of the log that is to be followed: of the others only chunks are taken, which are
      // verified.
      const others = this.#sources.filter((other) => other !== source).map(({ given }) => ({
        ...sourceOptions(given),
        chunksOnly: true,
      }));
      await this.#context.install([source.given, ...others], {
        ...this.#options.install,
        signal: this.#stop.signal,
      });
      if (this.#context.fsm.applied.index + 1n >= (error.fields.expected as bigint)) return INSTALLED;
      return new SnapshotError("NOT_FOUND", `No source has a snapshot that leads to the log of ${source.log.url}`, {
        source: source.log.url,
      });
    } catch (failure) {
      return failure;
    }
  }

  /** Follows one source, until it fails or another one is to be followed. */
  async #follow(followed: Followed): Promise<void> {
    const { log: source } = followed;
    const { log, fsm, leadership } = this.#context;
    this.#state = "connecting";
    const { index, term } = fsm.applied;
    if (log.lastIndex > index) { // an install could not align it
      throw new SnapshotError(
        "UNAVAILABLE",
        `The log has entries up to ${log.lastIndex}, and the state up to ${index}`,
      );
    }
    const isEmpty = log.lastIndex < log.firstIndex || log.lastIndex < index;
    const digest = isEmpty ? undefined : await log.digest!(index);
    const stop = new LinkedAbort(this.#stop.signal);
    const follower = () => ({ name: this.#name, durable: fsm.applied.index });
    const reporting = this.#report(source, stop).catch(() => {});
    const appends = new Appends((batches) => this.#append(batches), (error) => stop.abort(error));
    let isCurrent = false;
    let received = index;
    try {
      const group = this.#context.group();
      const request = { from: index + 1n, digest, group, wait: true, follower: follower() };
      await source.read(request, stop.signal, async (record) => {
        if (record.kind === "header") {
          await this.#begin(record.header, isEmpty && index > 0n ? term : undefined, isEmpty);
        } else if (record.kind === "batch") {
          if (!isCurrent) {
            throw new SnapshotError("MALFORMED", `${source.url} does not say what it has before it sends it`);
          }
          appends.add(record.batch);
          received = record.batch.entries.at(-1)!.index;
          followed.failures = followed.trustedFrom = 0;
        } else if (record.kind === "heartbeat") {
          this.#checkTerm(record.heartbeat.term, source.url);
          this.#heard(record.heartbeat);
          await appends.step(false); // it has said all that it had
          if (isCurrent) return;
          isCurrent = true;
          this.#state = "following";
          this.#problem = undefined;
          leadership.follow(source.url);
          this.#isOneHistory = true;
          this.#moved();
          this.#tell({ type: "connected", source: source.url, from: index + 1n });
        }
      }, () => appends.step(received < this.#lag.sourceIndex));
      await appends.end();
    } catch (error) {
      await appends.end(); // a failure to append says more than that the stream was aborted for it
      throw stop.signal.aborted && !this.#stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      stop.abort(new SnapshotError("CLOSED", "The stream has ended"));
      stop.unlink();
      await reporting;
    }
  }

  /** Takes the source's word on the history before the first entry here, if this one has none. */
  async #begin({ previous, term }: LogHeader, expected: bigint | undefined, isEmpty: boolean): Promise<void> {
    const { log, fsm } = this.#context;
    if (!isEmpty) return;
    const { index } = fsm.applied;
    if (expected !== undefined && term !== expected) {
      throw new SnapshotError("STALE", `Entry ${index} has term ${term} at the source, and ${expected} here`, {
        index,
        expected,
        actual: term,
      });
    }
    if (log.lastIndex < index) await log.reset(index, fsm.applied.term);
    await log.bindDigest!(previous);
  }

  async #append(batches: readonly LogBatch[]): Promise<void> {
    const entries = batches.flatMap((batch) => batch.entries);
    await this.#context.append(entries);
    this.#context.leadership.hear(entries.at(-1)!.term);
    this.#lag.appended(entries);
    this.#lookWhetherCaughtUp();
  }

  /** Refuses a source that does not know of the latest leader: it may be the former one, or follow that. */
  #checkTerm(term: bigint, source: string): void {
    const { term: known } = this.#context.leadership;
    if (term >= known) return;
    throw new SnapshotError(
      "STALE",
      `${source} knows of term ${term}, and term ${known} has begun: it is no leader now`,
      {
        source,
        expected: known,
        actual: term,
      },
    );
  }

  #heard(heartbeat: LogHeartbeat): void {
    this.#context.leadership.hear(heartbeat.term);
    this.#lag.heard(heartbeat);
    this.#lookWhetherCaughtUp();
  }

  #lookWhetherCaughtUp(): void {
    const { index } = this.#context.fsm.applied;
    if (this.#lag.hasCaughtUp(index)) this.#tell({ type: "caughtUp", index });
  }

  #moved(): void {
    if (this.#waiters.length === 0 || !this.#isOneHistory) return;
    const { index } = this.#context.fsm.applied;
    for (const waiter of this.#waiters) if (waiter.index <= index) waiter.resolve();
  }

  /** Tells the source what is durable here, and looks for one that is further, as long as it is followed. */
  async #report(source: LogSource, stop: LinkedAbort): Promise<void> {
    let told = this.#context.fsm.applied.index;
    let looked = performance.now();
    const others = new OtherSources(this.#sources, source);
    while (!stop.signal.aborted) {
      await pause(ACKNOWLEDGE, stop.signal);
      const { index } = this.#context.fsm.applied;
      const isDue = performance.now() - looked >= LOOK;
      if (index > told || isDue) {
        await source.status(stop.signal, { name: this.#name, durable: index }).then(() => told = index, () => {});
      }
      if (!isDue) continue;
      looked = performance.now();
      const behind = await others.look(this.#lag.sourceIndex, index, stop.signal);
      if (behind !== undefined) stop.abort(behind);
    }
  }

  readonly #closing = new AbortController();

  /** Ends what goes on after a promotion: the replica is closed. */
  async end(): Promise<void> {
    this.#closing.abort(new SnapshotError("CLOSED", "The replica was closed"));
    await this.close();
  }
}

/** The result of a failure for which a snapshot was installed. */
const INSTALLED = Symbol("installed");

function asError(error: unknown): SnapshotError {
  if (error instanceof SnapshotError) return error;
  return new SnapshotError("UNAVAILABLE", `The log cannot be followed: ${messageOf(error)}`, { cause: error });
}
