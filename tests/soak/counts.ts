// What a program can leak, counted: timers, listeners, open files, memory.

import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Timer = ReturnType<typeof setTimeout>;
type Callback = (...args: unknown[]) => void;

/** Counts the timers that were set and have neither fired nor been cleared, and knows who set each. */
export class Timers {
  readonly #set = globalThis.setTimeout;
  readonly #clear = globalThis.clearTimeout;
  readonly #setInterval = globalThis.setInterval;
  readonly #clearInterval = globalThis.clearInterval;
  readonly #live = new Map<unknown, Error>();

  /** Puts itself between the program and its timers, until {@linkcode restore}. */
  constructor() {
    const set = (callback: Callback, ms?: number, ...args: unknown[]): Timer => {
      const timer = this.#set(() => {
        this.#live.delete(timer);
        callback(...args);
      }, ms);
      this.#live.set(timer, new Error("A timer was set"));
      return timer;
    };
    const repeat = (callback: Callback, ms?: number, ...args: unknown[]): Timer => {
      const timer = this.#setInterval(callback, ms, ...args) as Timer;
      this.#live.set(timer, new Error("A timer was set"));
      return timer;
    };
    const clear = (timer?: unknown) => {
      this.#live.delete(timer);
      this.#clear(timer as Timer);
      this.#clearInterval(timer as Timer);
    };
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear, setInterval: repeat, clearInterval: clear });
  }

  get count(): number {
    return this.#live.size;
  }

  /** Sets a timer that is not counted. */
  unseen(callback: () => void, ms: number): void {
    this.#set(callback, ms);
  }

  /** Who set those that are live. */
  origins(): string[] {
    return [...this.#live.values()].map(({ stack }) => stack?.split("\n").slice(2, 6).join("\n") ?? "");
  }

  restore(): void {
    Object.assign(globalThis, {
      setTimeout: this.#set,
      clearTimeout: this.#clear,
      setInterval: this.#setInterval,
      clearInterval: this.#clearInterval,
    });
  }
}

/** Counts the listeners of a signal that lives as long as the program: what is not removed from it stays for ever. */
export class Listeners {
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #live = new Map<unknown, Error>();

  constructor() {
    const { signal } = this;
    const add = signal.addEventListener.bind(signal) as (...args: unknown[]) => void;
    const remove = signal.removeEventListener.bind(signal) as (...args: unknown[]) => void;
    Object.defineProperties(signal, {
      addEventListener: {
        value: (...args: unknown[]) => {
          this.#live.set(args[1], new Error("A listener was added"));
          add(...args);
        },
      },
      removeEventListener: {
        value: (...args: unknown[]) => {
          this.#live.delete(args[1]);
          remove(...args);
        },
      },
    });
  }

  get count(): number {
    return this.#live.size;
  }

  /** Who added those that are there. */
  origins(): string[] {
    return [...this.#live.values()].map(({ stack }) => stack?.split("\n").slice(2, 6).join("\n") ?? "");
  }
}

/** What the process has open, as far as the system says (Linux does): paths, and `socket:` for each socket. */
export function openFiles(): string[] {
  try {
    return readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`).replace(/^(\w+):\[.*/, "$1:")];
      } catch {
        return []; // the listing's own
      }
    });
  } catch {
    return [];
  }
}

/** Collects garbage; nothing where the runtime does not let one. */
export const collectGarbage: (() => void) | undefined = (() => {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(sync: boolean): void } };
  if (Bun !== undefined) return () => Bun.gc(true);
  if (gc !== undefined) return gc;
  try {
    setFlagsFromString("--expose-gc");
    return runInNewContext("gc") as () => void;
  } catch {
    return undefined;
  }
})();

/** Bytes that are in use after garbage was collected, and of the process as a whole. */
export function memory(): { heap: number; rss: number } {
  for (let i = 0; i < 2; i++) collectGarbage?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss };
}

/** By how much something grows a step: the slope of the line through its samples, by Theil and Sen, whom outliers leave cold. */
export function slope(samples: readonly { readonly at: number; readonly value: number }[]): number {
  const slopes = samples.flatMap((a, i) =>
    samples.slice(i + 1).map((b) => (b.value - a.value) / Math.max(b.at - a.at, 1))
  );
  return slopes.sort((a, b) => a - b)[slopes.length >> 1] ?? 0;
}
