// Time that is a thing of the test: a clock to hand to what takes one, and the runtime's own clock and timers, replaced.

import type { Clock } from "../../mod.ts";
import { bodiesInTurns } from "./page_bodies.ts";
import { IN_THREADS } from "./threads.ts";

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes when it is told to. */
export class FakeClock implements Clock {
  #now: number;
  #timers: Timer[] = [];
  readonly #start: number;

  /** @param now what time it is at first */
  constructor(now: number = 1_000_000) {
    this.#now = this.#start = now;
  }

  /** How far the wall clock was set forward, or back, in milliseconds. */
  jumped = 0;

  now(): number {
    return this.#now + this.jumped;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(ms, 0), callback };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((it) => it !== timer);
  }

  /** Lets time pass; what is due then is called, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    while (this.fire(end));
    this.#now = end;
  }

  /**
   * Lets time pass until the next timer is due, and calls it.
   *
   * @param end later ones are left
   * @returns whether there was one
   */
  fire(end: number = Infinity): boolean {
    const next = this.#timers.reduce<Timer | undefined>(
      (first, timer) => timer.at <= end && !(first !== undefined && first.at <= timer.at) ? timer : first,
      undefined,
    );
    if (next === undefined) return false;
    this.#timers = this.#timers.filter((it) => it !== next);
    this.#now = Math.max(next.at, this.#now);
    next.callback();
    return true;
  }

  /** In how many milliseconds the timers fire, soonest first. */
  get waiting(): number[] {
    return this.#timers.map(({ at }) => at - this.#now).sort((a, b) => a - b);
  }

  /** How many milliseconds have passed. */
  get passed(): number {
    return this.#now - this.#start;
  }
}

/** So many turns of the event loop in which nothing happened say that nothing is going on but waiting. */
const QUIET_TURNS = 40;
/** A test that takes so long hangs, in real milliseconds. The harness waits longer: the clock is to be put back first. */
const HANGS = 180_000;
type Work<T> = (clock: FakeClock) => T | Promise<T>;

/**
 * Does something while the runtime's clock and timers are fake ones: nobody waits. Time passes when nothing is going on
 * but waiting, and then at once, until the next timer fires. However slow the machine, no time-out comes too early.
 */
export function inFakeTime<T>(work: Work<T>): Promise<T> {
  return withFakeTimers(work, Infinity);
}

/** Does something while the runtime's clock stands still, but when the test advances it. */
export function inFrozenTime<T>(work: Work<T>): Promise<T> {
  return withFakeTimers(work, 0);
}

/** Does something at a later time, as all clocks say; timers are as they were. */
export async function later<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  const monotonic = performance.now;
  performance.now = () => monotonic.call(performance) + milliseconds;
  try {
    return await jumped(milliseconds, work);
  } finally {
    performance.now = monotonic;
  }
}

/** Does something while the wall clock is set forward, or back: no time has passed. */
export async function jumped<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  const { now } = Date;
  Date.now = () => now() + milliseconds;
  try {
    return await work();
  } finally {
    Date.now = now;
  }
}

async function withFakeTimers<T>(work: Work<T>, jump: number): Promise<T> {
  await Promise.resolve(); // the harness has set the timer that finds hangs by then
  const real = { turn: realTurn(), now: performance.now.bind(performance) };
  const fake = new FakeTimers();
  const { clock } = fake;
  let settled = false;
  const begun = real.now();
  try {
    const done = (async () => await work(clock))().finally(() => settled = true);
    done.catch(() => {}); // if it hangs, nobody waits for it
    for (let quiet = 0; !settled; quiet++) {
      await real.turn();
      if (fake.wasBusy()) quiet = 0;
      // Who waits for no time waits for a turn. A wall clock that was set forward makes no timer due.
      if (clock.fire(clock.monotonic())) quiet = 0;
      else if (quiet < QUIET_TURNS || jump === 0) continue;
      else if (clock.fire()) quiet = 0;
      if (real.now() - begun > HANGS) throw new Error(`It hangs, after ${clock.passed} ms of fake time`);
    }
    return await done;
  } finally {
    fake.restore();
  }
}

function inPage(): boolean {
  return "document" in globalThis;
}

/** What lets the event loop take a turn; in a page a `setTimeout` for that would take four milliseconds. */
function realTurn(): () => Promise<void> {
  const { setImmediate, setTimeout } = globalThis as typeof globalThis & { setImmediate?: (work: () => void) => void };
  if (setImmediate !== undefined) return () => new Promise((resolve) => setImmediate(resolve));
  if (!inPage()) return () => new Promise((resolve) => setTimeout(resolve, 0));
  const { port1, port2 } = new MessageChannel();
  return () =>
    new Promise((resolve) => {
      port1.onmessage = () => resolve();
      port2.postMessage(0);
    });
}

/** A delay as timers take it: whole milliseconds. Part of one would be lost in the sum, and nobody come further. */
function wholeDelay(ms: number): number {
  return ms > 0 ? Math.max(Math.trunc(ms), 1) : 0;
}

/** What `setTimeout` and `setInterval` return; Node's own `fetch` takes it for one of Node's. */
class FakeTimer {
  readonly #start: () => () => void;
  /** Ends it. */
  cancel: () => void;

  constructor(start: () => () => void) {
    this.#start = start;
    this.cancel = start();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  refresh(): this {
    this.cancel();
    this.cancel = this.#start();
    return this;
  }
}

/** A clock in the place of the runtime's clock and timers. */
class FakeTimers {
  readonly clock: FakeClock = new FakeClock(Date.now());
  readonly #restores: (() => void)[] = [];
  #inThreads = 0;
  #busy = false;

  constructor() {
    const { clock } = this;
    const start = Math.ceil(performance.now()); // whole milliseconds add up exactly
    const { clearTimeout, clearInterval } = globalThis;
    this.#replace(Date, "now", () => clock.now());
    this.#replace(performance, "now", () => start + clock.passed);
    this.#replace(globalThis, "setTimeout", this.#set);
    this.#replace(globalThis, "setInterval", this.#repeat);
    this.#replace(globalThis, "clearTimeout", this.#clearing(clearTimeout));
    this.#replace(globalThis, "clearInterval", this.#clearing(clearInterval));
    this.#replace(AbortSignal, "timeout", (ms: number) => {
      const controller = new AbortController();
      clock.after(ms, () => controller.abort(new DOMException(`${ms} ms are over`, "TimeoutError")));
      return controller.signal;
    });
    const { subtle } = crypto;
    for (const name of IN_THREADS) {
      const original = subtle[name].bind(subtle) as (...args: unknown[]) => Promise<unknown>;
      this.#replace(subtle, name, (...args: unknown[]) => this.#count(original(...args)));
    }
    if (inPage()) { for (const [target, name, value] of bodiesInTurns()) this.#replace(target, name as never, value); }
  }

  /** Whether anything but turns went on since it was asked last. */
  wasBusy(): boolean {
    const busy = this.#busy || this.#inThreads > 0;
    this.#busy = false;
    return busy;
  }

  restore(): void {
    for (const restore of this.#restores) restore();
  }

  readonly #set = (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): FakeTimer => {
    if (ms > 0) this.#busy = true;
    return new FakeTimer(() => this.clock.after(wholeDelay(ms), () => callback(...args)));
  };

  readonly #repeat = (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): FakeTimer => {
    const timer: FakeTimer = new FakeTimer(() =>
      this.clock.after(Math.max(wholeDelay(ms), 1), () => {
        timer.refresh();
        callback(...args);
      })
    );
    return timer;
  };

  /** Clears a fake timer; a real one that was set before, too. */
  #clearing(clearReal: (timer: never) => void): (timer: unknown) => void {
    return (timer) => {
      if (!(timer instanceof FakeTimer)) return clearReal(timer as never);
      this.#busy = true;
      timer.cancel();
    };
  }

  async #count<T>(work: Promise<T>): Promise<T> {
    this.#inThreads++;
    try {
      return await work;
    } finally {
      this.#inThreads--;
      this.#busy = true;
    }
  }

  /** Replaces a function until the clock is restored. */
  #replace<T extends object>(target: T, name: keyof T & string, value: unknown): void {
    const before = Object.getOwnPropertyDescriptor(target, name);
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
    this.#restores.push(() => {
      if (before === undefined) delete target[name];
      else Object.defineProperty(target, name, before);
    });
  }
}
