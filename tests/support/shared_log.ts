// A log in memory that several replicas share.

import { type LogEntry, MemoryLog, type SharedLog, SnapshotError } from "../../mod.ts";

/** What all of them append to. */
export class MemorySharedLog {
  readonly #log = new MemoryLog();
  #changed = Promise.withResolvers<void>();

  /** A view of one member. */
  member(): SharedLog {
    return new Member(this.#log, () => this.#changed.promise, () => {
      this.#changed.resolve();
      this.#changed = Promise.withResolvers<void>();
    });
  }

  purge(index: bigint): Promise<void> {
    return this.#log.purge(index);
  }
}

class Member implements SharedLog {
  readonly #log: MemoryLog;
  readonly #changed: () => Promise<void>;
  readonly #tell: () => void;

  constructor(log: MemoryLog, changed: () => Promise<void>, tell: () => void) {
    this.#log = log;
    this.#changed = changed;
    this.#tell = tell;
  }

  get firstIndex(): bigint {
    return this.#log.firstIndex;
  }

  get lastIndex(): bigint {
    return this.#log.lastIndex;
  }

  get byteLength(): number {
    return this.#log.byteLength;
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  async propose(entry: Pick<LogEntry, "data" | "configuration">): Promise<LogEntry> {
    const proposed = { ...entry, index: this.#log.lastIndex + 1n, term: 1n };
    await this.#log.append([proposed]);
    this.#tell();
    return proposed;
  }

  async *follow(from: bigint, signal: AbortSignal): AsyncGenerator<readonly LogEntry[]> {
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(new SnapshotError("CANCELLED", "enough")))
    );
    aborted.catch(() => {});
    for (let next = from;;) {
      const changed = this.#changed();
      const entries = await Array.fromAsync(this.#log.entries(next));
      if (entries.length > 0) yield entries;
      next += BigInt(entries.length);
      if (entries.length === 0) await Promise.race([changed, aborted]);
    }
  }

  term(index: bigint): Promise<bigint | undefined> {
    return this.#log.term(index);
  }

  purge(): Promise<void> {
    return Promise.resolve(); // others may need it
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
