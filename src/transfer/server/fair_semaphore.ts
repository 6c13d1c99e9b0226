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
/** The wait after which a slow transfer has to go for a request, in milliseconds. */
const PATIENCE = 1000;
/** A transfer has to go only if it had its place for so long, in milliseconds: it could do something with it. */
const QUANTUM = 5000;
/** A transfer of more bytes a millisecond goes only if its client has more than its share. */
const SLOW = 64;

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

/** The place of one request. */
export class Place {
  /** The client that it belongs to. */
  readonly client: string;
  readonly #begun = performance.now();
  readonly #leave: () => void;
  #bytes = 0;
  #left = false;
  /** Ends the transfer, since others wait; absent if it cannot be ended. */
  onEvicted: (() => void) | undefined;
  /** Is told of the bytes that the transfer has moved, for who watches. */
  onMoved: ((bytes: number) => void) | undefined;

  /**
   * @param client whose it is
   * @param leave takes it back
   */
  constructor(client: string, leave: () => void) {
    this.client = client;
    this.#leave = leave;
  }

  /** The time for which it has been taken, in milliseconds. */
  get age(): number {
    return performance.now() - this.#begun;
  }

  /** Bytes a millisecond. */
  get rate(): number {
    return this.#bytes / Math.max(this.age, 1);
  }

  /** Notes that bytes have moved. */
  moved(bytes: number): void {
    this.onMoved?.(bytes);
    this.#bytes += bytes;
  }

  /** Gives it back. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.onEvicted = undefined;
    this.#leave();
  }
}

/**
 * Lets a limited number of requests in at a time. Waiting clients take turns, so that one that asks for much does not
 * keep out one that asks for little; and one client alone never takes the last eighth of the places. Whoever waits for
 * long gets the place of the slowest transfer of a client that has more places than itself.
 */
export class FairSemaphore {
  readonly #limit: number;
  readonly #share: number;
  readonly #inside = new Set<Place>();
  readonly #held = new Map<string, number>();
  #waiting = 0;
  /** The clients that wait, in the order of their turns. */
  readonly #queues = new Map<string, Waiting[]>();

  /** @param limit how many at a time */
  constructor(limit: number) {
    this.#limit = limit;
    this.#share = limit - Math.floor(limit / 8);
  }

  /**
   * Waits until there is room.
   *
   * @param client who asks
   * @returns its place, to be left
   * @throws {Overload}
   */
  async enter(client: string): Promise<Place> {
    return this.#hasRoom(client) ? this.#admit(client) : await this.#wait(client);
  }

  #admit(client: string): Place {
    const place = new Place(client, () => this.#leave(place));
    this.#inside.add(place);
    this.#held.set(client, this.#heldBy(client) + 1);
    return place;
  }

  #hasRoom(client: string): boolean {
    return this.#inside.size < this.#limit && this.#heldBy(client) < this.#share;
  }

  #heldBy(client: string): number {
    return this.#held.get(client) ?? 0;
  }

  #wait(client: string): Promise<Place> {
    const queue = this.#queues.get(client) ?? [];
    if (queue.length >= MAX_WAITING_OF_CLIENT) throw new Overload(429);
    if (this.#waiting >= this.#limit * MAX_WAITING_OF_CLIENT) throw new Overload(503);
    this.#queues.set(client, queue);
    this.#waiting++;
    return new Promise((resolve, reject) => {
      let waited = 0;
      let timer: ReturnType<typeof setTimeout>;
      const later = () => {
        timer = setTimeout(() => {
          waited += PATIENCE;
          if (waited < MAX_WAIT) {
            later();
            return this.#evictFor(client);
          }
          this.#remove(client, waiting);
          reject(new Overload(503));
        }, PATIENCE);
      };
      const waiting: Waiting = {
        enter: () => {
          clearTimeout(timer);
          this.#remove(client, waiting);
          resolve(this.#admit(client));
        },
      };
      queue.push(waiting);
      later();
    });
  }

  /** Ends the slowest transfer of those whose client has more than the one that waits. */
  #evictFor(client: string): void {
    const own = this.#heldBy(client);
    let slowest: Place | undefined;
    for (const place of this.#inside) {
      const more = this.#heldBy(place.client) - own;
      if (place.onEvicted === undefined || place.age < QUANTUM || more <= (place.rate < SLOW ? 0 : 1)) continue;
      if (slowest === undefined || place.rate < slowest.rate) slowest = place;
    }
    slowest?.onEvicted?.();
  }

  /** Lets in the first request of the next client, if any, and moves that client to the end of the line. */
  #leave(place: Place): void {
    this.#inside.delete(place);
    const held = this.#heldBy(place.client) - 1;
    if (held > 0) this.#held.set(place.client, held);
    else this.#held.delete(place.client);
    for (const [client, queue] of this.#queues) {
      if (!this.#hasRoom(client)) continue;
      this.#queues.delete(client);
      this.#queues.set(client, queue);
      return queue[0]!.enter();
    }
  }

  #remove(client: string, waiting: Waiting): void {
    const queue = this.#queues.get(client)!;
    queue.splice(queue.indexOf(waiting), 1);
    if (queue.length === 0) this.#queues.delete(client);
    this.#waiting--;
  }
}
