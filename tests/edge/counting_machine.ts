// Counts how often it was given each word: what is lost shows, and what is there twice.

import { jsonCodec, KeyedState, type LogEntry, type SaveTask, type SnapshotReader, stringKeys } from "../../mod.ts";
import type { StateMachine, ValueState } from "../../mod.ts";

export class CountingMachine implements StateMachine {
  readonly #state: KeyedState<string>;
  readonly #counts: ValueState<string, number>;

  constructor() {
    this.#state = new KeyedState({ keys: stringKeys() });
    this.#counts = this.#state.value("counts", jsonCodec<number>());
  }

  /** Each word, and how often it was given. */
  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts.entries());
  }

  apply({ data }: LogEntry): void {
    const word = new TextDecoder().decode(data);
    this.#counts.set(word, (this.#counts.get(word) ?? 0) + 1);
  }

  save(): SaveTask | undefined {
    return this.#state.save();
  }

  async load(reader: SnapshotReader): Promise<void> {
    await this.#state.load(reader);
  }
}
