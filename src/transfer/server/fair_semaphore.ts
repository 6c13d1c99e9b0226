/**
 * A semaphore for requests: fair between clients, and never with an endless queue.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";

/** Requests of one client that may wait. */
const MAX_WAITING_OF_CLIENT = 16;
/** The longest wait of a request, in milliseconds. */
const MAX_WAIT = 10_000;

/** A request that waits. */
interface Waiting {
  readonly enter: () => void;
}

/** The error for too many requests, with the status of the answer. */
export class Overload extends SnapshotError {
  /** 429: this client asks too much; 503: all of them together do. */
  readonly status: 429 | 503;
  /** The wait after which a retry is worthwhile, in seconds. */
  readonly seconds: number;

  /** @param status who asks too much */
  constructor(status: 429 | 503) {
    super("UNAVAILABLE", status === 429 ? "Too many requests of this client at once" : "Too many requests at once", {
      status,
    });
    this.status = status;
    this.seconds = status === 429 ? 1 : 2;
  }
}

/**
 * Lets a limited number of requests in at a time. Waiting clients take turns, so that one that asks for much does not
 * keep out one that asks for little.
 */
export class FairSemaphore {
  readonly #limit: number;
  #inside = 0;
  #waiting = 0;
  /** The clients that wait, in the order of their turns. */
  readonly #queues = new Map<string, Waiting[]>();

  /** @param limit how many at a time */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Waits until there is room.
   *
   * @param client who asks
   * @returns a function to be called, once, on leaving
   * @throws {Overload}
   */
  async enter(client: string): Promise<() => void> {
    if (this.#inside < this.#limit) this.#inside++;
    else await this.#wait(client);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave();
    };
  }

  #wait(client: string): Promise<void> {
    const queue = this.#queues.get(client) ?? [];
    if (queue.length >= MAX_WAITING_OF_CLIENT) throw new Overload(429);
    if (this.#waiting >= this.#limit * MAX_WAITING_OF_CLIENT) throw new Overload(503);
    this.#queues.set(client, queue);
    this.#waiting++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#remove(client, waiting);
        reject(new Overload(503));
      }, MAX_WAIT);
      const waiting: Waiting = {
        enter: () => {
          clearTimeout(timer);
          this.#remove(client, waiting);
          resolve();
        },
      };
      queue.push(waiting);
    });
  }

  /** Lets in the first request of the next client, if any, and moves that client to the end of the line. */
  #leave(): void {
    for (const [client, queue] of this.#queues) {
      this.#queues.delete(client);
      this.#queues.set(client, queue);
      return queue[0]!.enter();
    }
    this.#inside--;
  }

  #remove(client: string, waiting: Waiting): void {
    const queue = this.#queues.get(client)!;
    queue.splice(queue.indexOf(waiting), 1);
    if (queue.length === 0) this.#queues.delete(client);
    this.#waiting--;
  }
}
