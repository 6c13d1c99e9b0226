/**
 * Sharing out what is missing of a snapshot among those who fetch it.
 *
 * @module
 */

import type { ChunkRun } from "../snapshot/mod.ts";

/** About how many bytes are asked for at once: enough that a request costs little, and little to do again. */
const SPAN_BYTES = 8 * 1024 * 1024;

/** Runs of chunks to be fetched, each by one at a time. What was not fetched is given back, and handed out again. */
export class SpanPool {
  readonly #missing: Iterator<ChunkRun>;
  readonly #returned: ChunkRun[] = [];
  #rest: ChunkRun | undefined;
  #outstanding = 0;
  #waiters: (() => void)[] = [];
  #drain: () => void = () => {};
  /** Resolves when all is fetched. */
  readonly drained: Promise<void> = new Promise((resolve) => this.#drain = resolve);

  /** @param missing what is missing; looked at as it is needed */
  constructor(missing: Iterator<ChunkRun>) {
    this.#missing = missing;
  }

  /** The next run to be fetched; nothing when all is fetched. Waits while others are at the last of it. */
  async take(): Promise<ChunkRun | undefined> {
    for (;;) {
      const span = this.#returned.pop() ?? this.#cut();
      if (span !== undefined) {
        this.#outstanding++;
        return span;
      }
      if (this.#outstanding === 0) return void this.#drain();
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** A run was fetched; or, if `rest` is given, not all of it. */
  done(rest?: ChunkRun): void {
    this.#outstanding--;
    if (rest !== undefined && rest.first < rest.end) this.#returned.push(rest);
    this.wake();
  }

  /** Lets those who wait look again. */
  wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #cut(): ChunkRun | undefined {
    const next = this.#rest ?? this.#missing.next().value as ChunkRun | undefined;
    if (next === undefined) return undefined;
    const { file, first } = next;
    let end = first + 1;
    while (end < next.end && file.chunks!.offset(end) - file.chunks!.offset(first) < SPAN_BYTES) end++;
    this.#rest = end < next.end ? { file, first: end, end: next.end } : undefined;
    return { file, first, end };
  }
}
