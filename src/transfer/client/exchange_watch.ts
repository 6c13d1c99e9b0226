/**
 * The time limits of one request: no silence, and no drip.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { LONGEST_WAIT } from "../../async/mod.ts";
import type { BodyWatch } from "../body.ts";

/** The least rate of an answer's body after a time-out's grace, in bytes a second: a drip would never end. */
const LEAST_RATE = 1024;

/** Ends a request whose server is silent for too long, or sends next to nothing. */
export class ExchangeWatch implements BodyWatch {
  readonly #stop = new AbortController();
  readonly #source: string;
  readonly #timeout: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the server began to be waited for; absent while it is not. */
  #since: number | undefined;
  /** Bytes of the answer's body, and the time that they were waited for since the first, in milliseconds. */
  #bytes = 0;
  #waited = 0;

  /**
   * @param source the server, for messages
   * @param timeout the longest silence, in milliseconds
   */
  constructor(source: string, timeout: number) {
    this.#source = source;
    this.#timeout = timeout;
  }

  /** Fires when the request is to end. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Ends the request. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  resume(): void {
    this.pause();
    this.#since = performance.now();
    const grace = this.#timeout + this.#bytes / LEAST_RATE * 1000 - this.#waited;
    const isSlow = this.#bytes > 0 && grace < this.#timeout;
    const wait = isSlow ? Math.max(grace, 0) : this.#timeout;
    this.#timer = setTimeout(() => {
      const said = isSlow
        ? `only ${this.#bytes} bytes in ${Math.round(this.#waited + wait)} ms`
        : `nothing for ${this.#timeout} ms`;
      this.stop(new SnapshotError("TIMEOUT", `${this.#source} sent ${said}`, { source: this.#source }));
    }, Math.min(wait, LONGEST_WAIT));
  }

  pause(): void {
    clearTimeout(this.#timer);
    if (this.#since !== undefined && this.#bytes > 0) this.#waited += performance.now() - this.#since;
    this.#since = undefined;
  }

  received(bytes: number): void {
    this.#bytes += bytes;
  }
}
