/**
 * One request: its bytes, cut into chunks, verified and written.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { SnapshotInstall } from "../../snapshot/mod.ts";
import { InFlight, type Tracker } from "../../async/mod.ts";
import type { Throttle } from "../../stream/mod.ts";
import type { Running, Schedule } from "./schedule.ts";
import type { HttpSource } from "./http_source.ts";

/** The approximate number of bytes of one request that are being verified and written at the same time. */
const WRITE_BYTES = 1024 * 1024;

/** The state that all requests of a pull share. */
export interface TransferContext {
  readonly install: SnapshotInstall;
  readonly schedule: Schedule;
  readonly tracker: Tracker;
  readonly throttle: Throttle | undefined;
  /** Buffers of chunks, to be used again: runtimes are slow to collect memory whose size they cannot see. */
  readonly buffers: Uint8Array[];
}

/** A request for a run of chunks. */
export class SpanTransfer {
  readonly #context: TransferContext;
  readonly #running: Running;
  readonly #source: HttpSource;
  readonly #writes = new InFlight<void>();
  /** The chunk that is being received. */
  #next = 0;
  #chunk: Uint8Array | undefined;
  #length = 0;
  #filled = 0;
  /** The error of the first chunk that could not be taken: it says more than how the request ends. */
  #failure: { readonly error: unknown } | undefined;
  /** The chunk that came wrong. */
  #wrong: number | undefined;
  /** True if the storage failed, and not the source. */
  failedToWrite = false;
  /** Bytes that were written. */
  written = 0;

  constructor(context: TransferContext, running: Running, source: HttpSource) {
    this.#context = context;
    this.#running = running;
    this.#source = source;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { first, end } = this.#running;
    const wasDoubted = this.#source.isDoubted;
    try {
      await this.#receive(first, end, signal);
    } catch (error) {
      const wrong = this.#wrong;
      if (wrong === undefined || wasDoubted || this.failedToWrite) throw error;
      // Asked for the wrong chunk again at once, the server finds out whether its snapshot is bad.
      this.#source.isDoubted = true;
      this.#failure = this.#wrong = undefined;
      try {
        await this.#receive(wrong, wrong + 1, signal);
      } catch (again) {
        if (this.#context.schedule.isMissing(wrong)) throw again; // else it came, and nothing more was needed
      }
      const { url } = this.#source;
      const said = `${url} sent wrong bytes, and right ones when it was asked to verify them`;
      this.#failure = { error: new SnapshotError("UNAVAILABLE", said, { source: url, cause: error }) };
      throw this.#failure.error;
    }
  }

  /** Makes a request for some chunks, and takes what comes. */
  async #receive(first: number, end: number, signal: AbortSignal): Promise<void> {
    const { install: { manifest }, throttle, tracker } = this.#context;
    const { content } = manifest;
    const running = this.#running;
    this.#next = first;
    this.#chunk = undefined;
    this.#filled = 0;
    try {
      await this.#source.content(manifest, content.offset(first), content.offset(end), signal, async (piece) => {
        running.moved(piece.length);
        tracker.moved();
        await running.taking(async () => {
          await throttle?.take(piece.length, signal);
          await this.#take(piece);
        });
      });
      await running.taking(async () => {
        while (this.#writes.size > 0) await this.#writes.next();
      });
    } catch (error) {
      await this.#writes.settled();
      throw this.#failure === undefined ? error : this.#failure.error;
    }
  }

  /** True if a wrong chunk came, or one could not be written. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  async #take(piece: Uint8Array): Promise<void> {
    const { content } = this.#context.install.manifest;
    for (let at = 0; at < piece.length;) {
      if (this.#chunk === undefined) {
        this.#length = content.length(this.#next);
        this.#chunk = this.#buffer(this.#length);
      }
      const taken = Math.min(this.#length - this.#filled, piece.length - at);
      this.#chunk.set(at === 0 && taken === piece.length ? piece : piece.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled < this.#length) continue;
      this.#writes.add(this.#write(this.#next++, this.#chunk));
      this.#chunk = undefined;
      this.#filled = 0;
      if (this.#writes.size * this.#length >= WRITE_BYTES) await this.#writes.next();
    }
  }

  async #write(number: number, bytes: Uint8Array): Promise<void> {
    const { install, schedule, tracker, buffers } = this.#context;
    if (!schedule.isMissing(number)) return; // somebody else was quicker
    try {
      await install.write(number, bytes);
    } catch (error) {
      if (!hasCode(error, "CORRUPT")) {
        this.failedToWrite = true;
        this.#failure ??= { error };
        throw error;
      }
      const wrong = new SnapshotError("CORRUPT", `${this.#source.url} sent wrong bytes: ${error.message}`, {
        ...error.fields,
        source: this.#source.url,
        cause: error,
      });
      if (this.#failure === undefined) this.#wrong = number;
      this.#failure ??= { error: wrong };
      throw wrong;
    }
    this.written += bytes.length;
    if (schedule.isMissing(number)) tracker.add(bytes.length);
    schedule.arrived(number);
    buffers.push(bytes);
  }

  #buffer(length: number): Uint8Array {
    const buffer = this.#context.buffers.pop();
    return buffer?.length === length ? buffer : new Uint8Array(length);
  }
}
