/**
 * A Durable Object's alarm as a clock.
 *
 * @module
 */

import { able, checkFunction, duration, oneOf } from "../checks.ts";
import { LONGEST_WAIT } from "../async/mod.ts";
import type { Clock } from "../executor/mod.ts";

/** The part of `ctx.storage` that tells and sets a Durable Object's alarm. */
export interface AlarmStorage {
  /** Returns the time the alarm goes off, in milliseconds since 1970; `null` if none is set. */
  getAlarm(): Promise<number | null>;
  /** Sets the alarm; there is only one. */
  setAlarm(time: number): Promise<void>;
  /** Cancels it. */
  deleteAlarm(): Promise<void>;
}

/** An alarm that is so many milliseconds late does not go off by itself: the platform has ended its retries. */
const OVERDUE = 30_000;

/** A callback that waits for its time. */
interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/** The use that the clock makes of the alarm; see {@linkcode AlarmClock.mode}. */
export type AlarmMode = "waiting" | "resting" | "busy";

/**
 * Wakes up by the object's alarm, and not by `setTimeout`, which would keep the object from being hibernated. The
 * callbacks are lost when the object is evicted, but not the alarm: one that an earlier life of the object has set is
 * not postponed, and when it goes off {@linkcode AlarmClock.ring} says so. One that is overdue is set anew.
 */
export class AlarmClock implements Clock {
  readonly #storage: AlarmStorage;
  readonly #timers: Set<Timer> = new Set();
  #mode: AlarmMode = "waiting";
  /** The time that the alarm is set to. */
  #alarm: number | undefined;
  /** The time at which it was set, in this life. */
  #setAt = -Infinity;
  /** The time that an earlier life has set it to. */
  #inherited: number | undefined;
  /** True while the alarm's work is being done: if the object is lost meanwhile, the alarm goes off once more. */
  #ringing = false;
  #timeout: ReturnType<typeof setTimeout> | undefined;
  #setting = false;

  private constructor(storage: AlarmStorage, alarm: number | undefined) {
    this.#storage = storage;
    this.#alarm = this.#inherited = alarm;
  }

  /**
   * Makes a clock, and finds out which alarm an earlier life has set.
   *
   * @param storage the object's `ctx.storage`
   */
  static async open(storage: AlarmStorage): Promise<AlarmClock> {
    able("the storage of a Durable Object", "getAlarm", "setAlarm", "deleteAlarm")(storage, "storage");
    const clock = new AlarmClock(storage, await storage.getAlarm() ?? undefined);
    clock.#changed(); // sets anew one that is overdue
    return clock;
  }

  /**
   * The use that is made of the alarm:
   *
   * | mode | |
   * |---|---|
   * | `waiting` | the alarm is set for the next callback. The mode at first |
   * | `resting` | no callback is worth waking the object up: no alarm is set |
   * | `busy` | work runs that an eviction must not cut off: the alarm goes off at once |
   *
   * While `busy` the alarm {@linkcode ring}s until the work has ended, and callbacks are called by `setTimeout`, since
   * alarms go off one at a time.
   */
  set mode(mode: AlarmMode) {
    oneOf("waiting", "resting", "busy")(mode, "mode");
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#changed();
  }

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(ms: number, callback: () => void): () => void {
    duration()(ms, "ms");
    checkFunction(callback, "callback");
    const timer: Timer = { due: this.now() + ms, callback };
    this.#timers.add(timer);
    this.#changed();
    return () => {
      if (this.#timers.delete(timer)) this.#changed();
    };
  }

  /**
   * Handles the alarm: calls the callbacks that are due.
   *
   * @param work the work that is done while it rings; is told whether a callback waited for it, be it in an earlier
   *   life. Called before the callbacks
   */
  async ring(work: (awaited: boolean) => Promise<void>): Promise<void> {
    checkFunction(work, "work");
    const now = this.now();
    const ours = this.#inherited === undefined && this.#alarm !== undefined && this.#alarm <= now;
    const awaited = !ours || [...this.#timers].some(({ due }) => due <= now);
    this.#alarm = this.#inherited = undefined;
    this.#ringing = true;
    try {
      const done = work(awaited);
      this.#callBack();
      await done;
    } finally {
      this.#ringing = false;
      this.#changed();
    }
  }

  #callBack(): void {
    const now = this.now();
    for (const timer of [...this.#timers]) {
      if (timer.due <= now && this.#timers.delete(timer)) timer.callback();
    }
    this.#changed();
  }

  /** Sets alarm and timer anew, once for all changes of a turn. */
  #changed(): void {
    if (this.#setting) return;
    this.#setting = true;
    queueMicrotask(() => {
      this.#setting = false;
      this.#setTimeout();
      if (!this.#ringing) this.#setAlarm();
    });
  }

  #setTimeout(): void {
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
    const next = this.#next;
    if (this.#mode !== "busy" || next === undefined) return;
    this.#timeout = setTimeout(() => this.#callBack(), Math.min(Math.max(next - this.now(), 0), LONGEST_WAIT));
  }

  #setAlarm(): void {
    const wanted = this.#wanted;
    const isOverdue = wanted !== undefined && Math.max(wanted, this.#setAt) + OVERDUE < this.now();
    if (wanted === this.#alarm && !isOverdue) return;
    this.#alarm = wanted;
    this.#setAt = this.now();
    const set = wanted === undefined ? this.#storage.deleteAlarm() : this.#storage.setAlarm(wanted);
    set.catch(() => {}); // the storage failed: the object is reset
  }

  get #wanted(): number | undefined {
    const inherited = this.#inherited ?? Infinity;
    if (this.#mode === "busy") return Math.min(inherited, this.#alarm ?? Infinity, this.now());
    const next = this.#mode === "waiting" ? Math.min(inherited, this.#next ?? Infinity) : Infinity;
    return next === Infinity ? undefined : next;
  }

  /** The time that the next callback is due. */
  get #next(): number | undefined {
    let next: number | undefined;
    for (const { due } of this.#timers) if (next === undefined || due < next) next = due;
    return next;
  }
}
