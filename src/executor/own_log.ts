/**
 * A replica with a log of its own: what is proposed is appended to it, many entries at a time, and applied.
 *
 * @module
 */

import { hasCode, throwIfCancelled } from "../errors.ts";
import { checkOrder, type LogStorage } from "../log/mod.ts";
import { Entry, type LogEntry } from "../state/mod.ts";
import { batchesOf } from "./any_log.ts";
import type { ExecutorEvent } from "./events.ts";
import { closed, type FsmCaller } from "./fsm_caller.ts";
import { FIRST_TERM } from "./leadership.ts";
import { Turns } from "./turns.ts";

/** The most proposals that are appended and applied in one go. */
const BATCH = 1024;

/**
 * The microtasks without a further proposal after which a batch is taken. Those whose commands were just applied
 * propose again within so many, and would else each find a write begun that has only the first of them.
 */
const QUIET = 16;

/** The interval at which a replay reports its progress, in milliseconds. */
const TELL_EVERY = 100;

/** The last entry before others. */
type Last = Pick<LogEntry, "index" | "term">;

/** Entries to be appended and applied. */
interface Pending {
  /** Returns the entries; those that are proposed get their index and term here. */
  readonly entries: (last: Last) => readonly LogEntry[];
  /** What the machine made of each of them when it looked whether it can apply them. */
  readonly validated: readonly unknown[];
  readonly resolve: (entries: readonly LogEntry[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Entries that follow those before them. */
interface Accepted {
  readonly pending: Pending;
  readonly entries: readonly LogEntry[];
}

/** The surroundings of an {@linkcode OwnLogFollower}. */
export interface OwnLogContext {
  /** The term of proposed entries; by default that of the last one. */
  readonly term: bigint | undefined;
  /** The time: milliseconds since 1970. */
  now(): number;
  /** Throws if this replica takes no proposals. */
  checkLeads(): void;
  /** Is called with entries that are durable now. */
  onAppended(entries: readonly LogEntry[]): void;
  /** Is called if the log has no room. */
  onFull(): void;
}

/** Appends to a log, and applies it. */
export class OwnLogFollower {
  readonly #log: LogStorage;
  readonly #fsm: FsmCaller;
  readonly #context: OwnLogContext;
  #term: bigint | undefined;
  /** The time of the last entry that was proposed here. */
  #time = 0;
  readonly #turns = new Turns();
  #queue: Pending[] = [];
  #draining: Promise<void> | undefined;
  #isStopped = false;
  /** Nothing keeps a log of one's own from being applied but a failure that is final. */
  readonly problem: undefined;

  /**
   * @param log the log
   * @param fsm applies its entries
   * @param context what else it works with
   */
  constructor(log: LogStorage, fsm: FsmCaller, context: OwnLogContext) {
    this.#log = log;
    this.#fsm = fsm;
    this.#context = context;
    this.#term = context.term;
  }

  /** Sets the term of what is proposed from now on. */
  set term(term: bigint) {
    this.#term = term;
  }

  /**
   * Applies the entries that the log has.
   *
   * @param signal cancels that
   * @param tell takes the progress
   */
  async start(signal: AbortSignal | undefined, tell: (event: ExecutorEvent) => void): Promise<void> {
    const fsm = this.#fsm;
    const log = this.#log;
    let told = performance.now();
    await fsm.exclusive(async () => { // a trigger may be set off
      for await (const entries of batchesOf(log, fsm.applied.index + 1n)) {
        for (const entry of entries) {
          const applying = fsm.apply(entry);
          if (applying !== undefined) await applying;
          if (!this.#turns.step()) continue;
          await this.#turns.turn();
          throwIfCancelled(signal);
          if (performance.now() - told < TELL_EVERY) continue;
          told = performance.now();
          tell({ type: "replayed", index: entry.index, lastIndex: log.lastIndex });
        }
      }
    });
    tell({ type: "replayed", index: fsm.applied.index, lastIndex: log.lastIndex });
  }

  /** Appends an entry, of which the machine has validated the data; resolves once it was applied. */
  async propose(entry: Pick<LogEntry, "data" | "configuration">, validated?: unknown): Promise<LogEntry> {
    const { data, configuration } = entry;
    const [proposed] = await this.#enqueue([validated], (last) => {
      this.#context.checkLeads(); // here, so that nothing is appended that was queued before somebody else led
      const term = this.#term ?? (last.term > 0n ? last.term : FIRST_TERM);
      this.#time = Math.max(this.#time, this.#fsm.time, Math.floor(this.#context.now()));
      return [new Entry(last.index + 1n, term, data, this.#time, configuration)];
    });
    return proposed!;
  }

  /** Appends those entries of another replica that are not here yet; resolves once they were applied. */
  async append(entries: readonly LogEntry[]): Promise<void> {
    const validated: unknown[] = [];
    await this.#enqueue(validated, (last) => {
      const first = entries.findIndex(({ index }) => index > last.index);
      const fresh = first < 0 ? [] : entries.slice(first);
      for (const entry of fresh) validated.push(this.#fsm.checkUnderstood(entry));
      return fresh;
    });
  }

  /** Applies what was proposed by now, and takes nothing more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#draining;
  }

  #enqueue(validated: Pending["validated"], entries: Pending["entries"]): Promise<readonly LogEntry[]> {
    return new Promise((resolve, reject) => {
      if (this.#isStopped) return reject(closed("replica"));
      this.#queue.push({ entries, validated, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Appends and applies what is queued; what is queued meanwhile goes with the next batch. */
  async #drain(): Promise<void> {
    for (;;) {
      await this.#gather();
      if (this.#queue.length === 0) break;
      const batch = this.#queue.splice(0, BATCH);
      await this.#fsm.exclusive(() => this.#appendAndApply(batch));
    }
    this.#draining = undefined; // in the turn that saw the queue empty, so that nothing is queued that nobody takes
  }

  /** Waits until nobody proposes any more in this turn: all that is proposed by then goes together. */
  async #gather(): Promise<void> {
    let known: number;
    do {
      known = this.#queue.length;
      for (let i = 0; i < QUIET; i++) await undefined;
    } while (this.#queue.length > known && this.#queue.length < BATCH);
  }

  async #appendAndApply(batch: readonly Pending[]): Promise<void> {
    const fsm = this.#fsm;
    try {
      fsm.checkRunning();
      // The log ends with what was applied, unless an install could not make it so.
      let last: Last = fsm.applied;
      if (this.#log.lastIndex < last.index) await this.#log.reset(last.index, last.term);
      const all: LogEntry[] = [];
      const accepted: Accepted[] = [];
      for (const pending of batch) {
        try {
          const entries = pending.entries(last);
          checkOrder(entries, last.index, last.term);
          for (const entry of entries) all.push(entry); // maybe too many for an argument list
          last = entries.at(-1) ?? last;
          accepted.push({ pending, entries });
        } catch (error) {
          pending.reject(error); // that harms no other
        }
      }
      await this.#log.append(all);
      this.#context.onAppended(all);
      for (const { pending, entries } of accepted) {
        for (let i = 0; i < entries.length; i++) {
          const applying = fsm.apply(entries[i]!, pending.validated[i]);
          if (applying !== undefined) await applying;
          if (this.#turns.step()) await this.#turns.turn();
        }
        pending.resolve(entries);
      }
    } catch (error) {
      for (const pending of batch) pending.reject(error); // but for those that were settled
      if (hasCode(error, "NO_SPACE") && fsm.failure === undefined) this.#context.onFull();
    }
  }
}
