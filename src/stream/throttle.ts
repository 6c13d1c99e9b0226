/**
 * Holding a stream to a rate.
 *
 * @module
 */

import { able, checkBytes, checkSignal, number, unfit } from "../checks.ts";
import { cancelled, throwIfCancelled } from "../errors.ts";
import { LONGEST_WAIT } from "../async/mod.ts";

/** A stream that waits for bytes. */
interface Waiter {
  bytes: number;
  readonly go: () => void;
}

/** The burst that may pass after a pause, in milliseconds of the rate. */
const BURST_MS = 50;

/**
 * A rate that any number of streams share, first come, first served. Smooth: a token bucket that holds a twentieth
 * of a second, where braft's `ThroughputSnapshotThrottle` counts in windows and lets bursts through at their borders.
 *
 * @category Streams
 *
 * @example One limit for everything that a process sends
 * ```ts
 * import { Throttle, throttled } from "@snapstream/snapstream";
 *
 * const throttle = new Throttle(50 * 1024 * 1024);
 * const body = ReadableStream.from([new Uint8Array(1024)]).pipeThrough(throttled(throttle));
 * throttle.bytesPerSecond = Infinity; // adjusted while it runs
 * for await (const chunk of body) console.assert(chunk.length === 1024);
 * ```
 */
export class Throttle {
  #rate: number;
  #balance = 0;
  #at = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #waiters: Waiter[] = [];

  /**
   * Makes a throttle.
   *
   * @param bytesPerSecond the rate; `Infinity` for none
   * @throws {SnapshotError} `MALFORMED` if it is not positive
   */
  constructor(bytesPerSecond: number) {
    this.#rate = checkRate(bytesPerSecond);
  }

  /** The rate; may be set while streams are running. */
  get bytesPerSecond(): number {
    return this.#rate;
  }

  set bytesPerSecond(rate: number) {
    checkRate(rate);
    this.#refill();
    this.#rate = rate;
    this.#serve();
  }

  /**
   * Waits until so many bytes may pass.
   *
   * @param bytes how many
   * @param signal cancels the wait
   * @throws {SnapshotError} `CANCELLED`
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      number(0, Number.MAX_SAFE_INTEGER)(bytes, "bytes");
      if (signal !== undefined) checkSignal(signal, "signal");
      throwIfCancelled(signal);
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(cancelled(signal!));
        this.#serve();
      };
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  #refill(): void {
    const now = performance.now();
    // Where the clock stands still (workerd, between I/O) nothing is earned; 0 * Infinity would be NaN.
    const earned = now === this.#at ? 0 : (now - this.#at) / 1000 * this.#rate;
    this.#balance = Math.min(this.#balance + earned, this.#rate * BURST_MS / 1000);
    this.#at = now;
  }

  /**
   * Serves the waiters: a chunk passes on a balance of 0 or more, and the next one waits until its overdraft is paid.
   */
  #serve(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiters.length === 0) return;
    if (this.#rate === Infinity) {
      this.#balance = 0;
      for (const waiter of this.#waiters.splice(0)) waiter.go();
      return;
    }
    this.#refill();
    while (this.#waiters.length > 0 && this.#balance >= 0) {
      const waiter = this.#waiters.shift()!;
      this.#balance -= waiter.bytes;
      waiter.go();
    }
    if (this.#waiters.length > 0) {
      this.#timer = setTimeout(() => this.#serve(), Math.min(-this.#balance / this.#rate * 1000 + 1, LONGEST_WAIT));
    }
  }
}

/** Checks a throttle. */
export function checkThrottle(value: unknown, what: string): void {
  able("a Throttle", "take")(value, what);
}

function checkRate(bytesPerSecond: number): number {
  if (typeof bytesPerSecond === "number" && bytesPerSecond > 0) return bytesPerSecond;
  throw unfit("bytesPerSecond", "a number above 0", bytesPerSecond);
}

/**
 * Lets bytes pass at the rate of a {@linkcode Throttle}.
 *
 * @category Streams
 * @param throttle the rate, shared with every other stream that has it
 * @returns a stage to pipe through
 */
export function throttled(throttle: Throttle): TransformStream<Uint8Array, Uint8Array> {
  checkThrottle(throttle, "throttle");
  const gone = new AbortController();
  // `cancel` is in the standard, but not yet in TypeScript's types of the DOM.
  const transformer: Transformer<Uint8Array, Uint8Array> & { cancel(reason: unknown): void } = {
    async transform(piece, controller) {
      const bytes = checkBytes(piece, "A piece that is to be throttled");
      await throttle.take(bytes.length, gone.signal);
      controller.enqueue(bytes);
    },
    cancel: (reason) => gone.abort(reason),
  };
  return new TransformStream(transformer);
}
