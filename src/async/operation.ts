/**
 * Long work, with a result to wait for and progress to watch.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";

/**
 * The progress of an {@linkcode Operation}.
 *
 * @category Streams
 */
export interface Progress {
  /** The current step, in a word: `"save"`, `"fetch"`, `"verify"`, `"commit"` … */
  readonly phase: string;
  /** Bytes done. */
  readonly bytes: number;
  /** Bytes in all, where that is known. */
  readonly total?: number | undefined;
  /** Chunks done. */
  readonly chunks: number;
  /** The part of `bytes` that was here already and did not have to be fetched or written. */
  readonly reused: number;
  /** Bytes a second since the start. */
  readonly rate: number;
}

/** See {@linkcode onEnd}: the class gives it access to itself. */
let endOf: (operation: Operation<unknown>, ended: (error?: unknown) => void) => void;

/**
 * Work that is running. `await` it for its result; iterate it for its newest progress as it happens (a slow watcher
 * skips states, none pile up): that ends with the work, and throws the error that the work failed with.
 *
 * Work that fails while nobody awaits it, its `result` or its progress is an unhandled rejection, as that of any
 * promise. An `async` function that returns one returns its result.
 *
 * @category Streams
 * @typeParam T the result of the work
 *
 * @example
 * ```ts
 * import type { Operation } from "@snapstream/snapstream";
 *
 * async function watch<T>(operation: Operation<T>): Promise<T> {
 *   for await (const { phase, bytes, total } of operation) console.log(phase, bytes, total);
 *   return await operation;
 * }
 * console.assert(typeof watch === "function");
 * ```
 */
export class Operation<T> implements AsyncIterable<Progress>, PromiseLike<T> {
  /** The result of the work; rejects if it fails. */
  readonly result: Promise<T>;
  readonly #work: Promise<T>;
  readonly #tracker: Tracker;

  static {
    endOf = (operation, ended) => void operation.#work.then(() => ended(), ended);
  }

  /**
   * Starts work.
   *
   * @param work does it, and tells the tracker how far it is
   */
  constructor(work: (tracker: Tracker) => Promise<T>) {
    checkFunction(work, "work");
    const tracker = this.#tracker = new Tracker();
    this.#work = (async () => await work(tracker))();
    this.result = this.#work.finally(() => tracker.end());
  }

  /** The progress so far. */
  get progress(): Progress {
    return this.#tracker.progress;
  }

  /**
   * As the `then` of {@linkcode Operation.result}: what `await` calls.
   *
   * @param onFulfilled called with the result
   * @param onRejected called with the error
   */
  then<A = T, B = never>(
    onFulfilled?: ((result: T) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result.then(onFulfilled, onRejected);
  }

  /** Progress as it happens. */
  [Symbol.asyncIterator](): AsyncGenerator<Progress, void, undefined> {
    this.result.catch(() => {}); // the watcher sees the error at the end, however late it comes there
    return this.#watch();
  }

  async *#watch(): AsyncGenerator<Progress, void, undefined> {
    yield* this.#tracker.watch();
    await this.result;
  }
}

/**
 * Tells of the end of work without awaiting it: a failure that nobody else sees is reported as unhandled all the same.
 *
 * @param operation the work
 * @param ended called when it ends, with the error if it failed; must not throw
 */
export function onEnd(operation: Operation<unknown>, ended: (error?: unknown) => void): void {
  endOf(operation, ended);
}

/** Records the progress of running work. */
export class Tracker {
  #phase = "start";
  #bytes = 0;
  #total: number | undefined;
  #chunks = 0;
  #reused = 0;
  #wake: (() => void) | undefined;
  #changed: Promise<void> | undefined;
  readonly #start: number = performance.now();
  /** Counts the changes. */
  version = 0;
  /** True once the work is over. */
  ended = false;

  /** The progress so far. */
  get progress(): Progress {
    const seconds = (performance.now() - this.#start) / 1000;
    return {
      phase: this.#phase,
      bytes: this.#bytes,
      total: this.#total,
      chunks: this.#chunks,
      reused: this.#reused,
      rate: seconds > 0 ? this.#bytes / seconds : 0,
    };
  }

  /** Begins a phase; `total` is the number of bytes of all the work, if it is known by now. */
  phase(name: string, total: number | undefined = this.#total): void {
    this.#phase = name;
    this.#total = total;
    this.#notify();
  }

  /** Counts bytes that were done. */
  add(bytes: number, chunks = 1): void {
    this.#bytes += bytes;
    this.#chunks += chunks;
    this.#notify();
  }

  /** Notes that bytes flow, of a chunk that is not whole yet: the work is slow, and does not stall. */
  moved(): void {
    this.#notify();
  }

  /** Counts bytes that were here already. */
  reuse(bytes: number, chunks = 1): void {
    this.#reused += bytes;
    this.add(bytes, chunks);
  }

  /** Sets the counts to 0, because the work begins anew. */
  restart(): void {
    this.#bytes = this.#chunks = this.#reused = 0;
    this.#notify();
  }

  /** Takes over the progress of other work. */
  set({ phase, bytes, total, chunks, reused }: Progress): void {
    this.#bytes = bytes;
    this.#chunks = chunks;
    this.#reused = reused;
    this.phase(phase, total);
  }

  /** The progress as it happens, up to the end of the work. */
  async *watch(): AsyncGenerator<Progress, void, undefined> {
    let seen = -1;
    while (!this.ended) {
      if (seen === this.version) {
        await this.changed();
        continue;
      }
      seen = this.version;
      yield this.progress;
    }
    yield this.progress;
  }

  /** Marks the work as over. */
  end(): void {
    this.ended = true;
    this.#notify();
  }

  /** Resolves at the next change. */
  changed(): Promise<void> {
    return this.#changed ??= new Promise((resolve) => this.#wake = resolve);
  }

  #notify(): void {
    this.version++;
    this.#wake?.();
    this.#wake = this.#changed = undefined;
  }
}
