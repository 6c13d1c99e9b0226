import type { LogEntry, LogStorage } from "../../mod.ts";

/** A log that keeps nothing, so that what is measured is not how entries that stay are collected around. */
export class ForgetfulLog implements LogStorage {
  readonly byteLength = 0;
  #last = { index: 0n, term: 0n };

  get firstIndex(): bigint {
    return this.#last.index + 1n;
  }

  get lastIndex(): bigint {
    return this.#last.index;
  }

  append(entries: readonly LogEntry[]): Promise<void> {
    this.#last = entries.at(-1) ?? this.#last;
    return Promise.resolve();
  }

  async *entries(): AsyncGenerator<LogEntry> {}

  term(index: bigint): Promise<bigint | undefined> {
    return Promise.resolve(index === this.#last.index ? this.#last.term : undefined);
  }

  purge(): Promise<void> {
    return Promise.resolve();
  }

  reset(index: bigint, term: bigint): Promise<void> {
    this.#last = { index, term };
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
