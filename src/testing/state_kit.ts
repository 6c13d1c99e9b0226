/**
 * States under test, and what the cases do with them.
 *
 * @module
 */

import {
  jsonCodec,
  KeyedState,
  type KeyedStateOptions,
  type ListState,
  type MapState,
  type SaveTask,
  type StoredList,
  type StoredMap,
  type StoredState,
  type StoredValue,
  stringKeys,
  utf8Codec,
  type ValueState,
} from "../state/mod.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import type { MemoryStorage } from "../storage/mod.ts";
import { same } from "./check.ts";

/** A state to be tested. */
export interface StateUnderTest {
  /** Makes an empty state; several may be there at the same time. */
  make(options: KeyedStateOptions<string>): Promise<KeyedState<string> | StoredState<string>>;
  /** Called in the end; the states are closed by then. */
  cleanUp(): Promise<void>;
}

/** A state with three states in it, and a model of what they hold. */
export class Bench {
  readonly state: KeyedState<string> | StoredState<string>;
  readonly value: ValueState<string, number> | StoredValue<string, number>;
  readonly list: ListState<string, string> | StoredList<string, string>;
  readonly map: MapState<string, string, string> | StoredMap<string, string, string>;
  /** The expected content: entries as text, by key. */
  readonly model: Map<string, string> = new Map();

  constructor(state: KeyedState<string> | StoredState<string>) {
    this.state = state;
    this.value = state.value("value", jsonCodec<number>());
    this.list = state.list("list", utf8Codec());
    this.map = state.map("map", stringKeys(), utf8Codec());
  }

  /** Makes one change, always the same for the same number. */
  async change(i: number, keys = 50): Promise<void> {
    const key = `key ${i * 7919 % keys}`;
    if (!this.state.owns(key)) return;
    const text = (what: string) => `${what} ${key}`;
    if (i % 6 === 0) {
      await this.value.delete(key);
      this.model.delete(text("value"));
    } else if (i % 6 < 3) {
      await this.value.set(key, i);
      this.model.set(text("value"), String(i));
    } else if (i % 6 === 3) {
      await this.list.add(key, `${i}`);
      const old = this.model.get(text("list"));
      this.model.set(text("list"), old === undefined ? `${i}` : `${old},${i}`);
    } else if (i % 6 === 4) {
      await this.map.set(key, `u${i % 4}`, `${i}`);
      this.model.set(text(`map u${i % 4}`), String(i));
    } else if (i % 12 === 5) {
      await this.map.delete(key, `u${i % 4}`);
      this.model.delete(text(`map u${i % 4}`));
    } else {
      await this.list.delete(key);
      this.model.delete(text("list"));
    }
  }

  async changes(from: number, to: number, keys?: number): Promise<void> {
    for (let i = from; i < to; i++) await this.change(i, keys);
  }

  /** Returns the content of the states, in the form of the model. */
  async content(): Promise<string> {
    const found: string[] = [];
    const keys = new Set<string>();
    for (let i = 0; i < 50; i++) keys.add(`key ${i}`);
    for await (const [key, value] of this.value.entries()) found.push(`value ${key}=${value}`);
    for await (const [key, items] of this.list.entries()) found.push(`list ${key}=${items.join()}`);
    for (const key of keys) {
      if (!this.state.owns(key)) continue;
      for await (const [userKey, value] of this.map.entries(key)) found.push(`map ${userKey} ${key}=${value}`);
    }
    return found.sort().join("; ");
  }

  expected(): string {
    return [...this.model].map(([key, value]) => `${key}=${value}`).sort().join("; ");
  }

  async checkContent(what: string): Promise<void> {
    same(await this.content(), this.expected(), what);
  }
}

/** Takes a snapshot as an executor does. */
export async function commit(task: SaveTask, storage: MemoryStorage, index: bigint): Promise<number> {
  const writer = await storage.create();
  try {
    await task.write(writer, new AbortController().signal);
    const info = await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
    task.committed?.(info);
    return info.files;
  } finally {
    await writer.abort();
    task.release();
  }
}

/** A state in memory that has loaded a snapshot. */
export async function loaded(
  readers: SnapshotReader[],
  options: Partial<KeyedStateOptions<string>> = {},
): Promise<Bench> {
  const bench = new Bench(new KeyedState({ ...options, keys: stringKeys() }));
  await bench.state.load(...readers);
  return bench;
}
