/**
 * The body of an upload, as it comes.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { Overload, type Place } from "./fair_semaphore.ts";
import { Pace } from "../pace.ts";

/** The status *Request Timeout*. */
const TOO_SLOW = 408;

/** A body that fails when its client sends too slowly, and that knows whether the client was to blame. */
export class IncomingBody {
  /** The body, read piece by piece. */
  readonly stream: ReadableStream<Uint8Array>;
  /** Resolves when all of it was read. */
  readonly received: Promise<void>;
  readonly #place: Place;
  readonly #stopped: Promise<never>;
  #stop: (error: SnapshotError) => void = () => {};
  #failure: SnapshotError | undefined;

  /**
   * @param body the body of the request
   * @param grace how long the client may let it wait, in milliseconds, and more for what it sends: see `pace.ts`
   * @param place the place of the request
   */
  constructor(body: ReadableStream<Uint8Array>, grace: number, place: Place) {
    const reader = body.getReader();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.received = promise;
    this.#place = place;
    this.#stopped = new Promise((_, reject) => {
      this.#stop = (error) => {
        this.#failure ??= error;
        reject(this.#failure);
      };
    });
    this.#stopped.catch(() => {});
    const pace = new Pace(grace, () => {
      this.#stop(
        new SnapshotError("TIMEOUT", `The client sends too slowly, or nothing for ${grace} ms`, {
          status: TOO_SLOW,
        }),
      );
    });
    place.onEvicted = () => this.#stop(new Overload(503));
    let isUnwanted = false;
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        pace.wait();
        try {
          const { done, value } = await Promise.race([reader.read(), this.#stopped]);
          if (isUnwanted) return; // that is the end of it here, and no fault of the client's
          if (done) {
            resolve();
            return controller.close();
          }
          pace.moved(value.length);
          place.moved(value.length);
          controller.enqueue(value);
        } catch (error) {
          this.#failure ??= new SnapshotError("UNAVAILABLE", "The client broke off", { status: 400, cause: error });
          reader.cancel(error).catch(() => {}); // not waited for: it may stall, too
          throw this.#failure;
        } finally {
          pace.stop();
        }
      },
      cancel(reason) {
        isUnwanted = true;
        return reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }

  /** The reason why it came to no good end, if that is the client's or the crowd's. */
  get failure(): SnapshotError | undefined {
    return this.#failure;
  }

  /** Keeps its place from now on, whoever waits: what follows is wanted. */
  admit(): void {
    this.#place.onEvicted = undefined;
  }
}
