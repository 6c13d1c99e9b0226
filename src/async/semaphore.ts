/**
 * How many do something at once.
 *
 * @module
 */

import { raceAbort } from "./race_abort.ts";

/** Who waits for a place. */
interface Waiter {
  give(): void;
  gone: boolean;
}

/** So many places; who comes when all are taken waits, in order. */
export class Semaphore {
  #free: number;
  #waiting: Waiter[] = [];
  /** Those before this one have their place. */
  #head = 0;

  /** @param count how many there are */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Takes a place.
   *
   * @param signal gives up waiting for one
   * @returns nothing if there was one; else what to wait for
   */
  take(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (this.#free === 0) return this.#wait(signal);
    this.#free--;
    return undefined;
  }

  /** Gives a place back: to who waits longest. */
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
