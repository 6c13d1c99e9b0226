/**
 * A limit on the number of tasks that run at once.
 *
 * @module
 */

import { raceAbort } from "./race_abort.ts";

/** A task that waits for a place. */
interface Waiter {
  give(): void;
  gone: boolean;
}

/** A fixed number of places; when all are taken, tasks wait in order. */
export class Semaphore {
  #free: number;
  #waiting: Waiter[] = [];
  /** The position of the first waiter in `#waiting`; those before it have their place. */
  #head = 0;

  /** @param count the number of places */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Takes a place.
   *
   * @param signal cancels the wait
   * @returns nothing if a place was free; else a promise that resolves with one
   */
  take(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (this.#free === 0) return this.#wait(signal);
    this.#free--;
    return undefined;
  }

  /** Gives a place back; the longest waiter gets it. */
  leave(): void {
    while (this.#head < this.#waiting.length) {
      const waiter = this.#waiting[this.#head++]!;
      if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      if (!waiter.gone) return waiter.give();
    }
    this.#free++;
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const waiter: Waiter = { give: () => {}, gone: false };
    let given = false;
    const place = new Promise<void>((resolve) =>
      waiter.give = () => {
        given = true;
        resolve();
      }
    );
    this.#waiting.push(waiter);
    try {
      await raceAbort(place, signal);
    } catch (error) {
      waiter.gone = true;
      if (given) this.leave();
      throw error;
    }
  }
}
