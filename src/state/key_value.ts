/**
 * A key-value store as a state machine.
 *
 * @module
 */

import { checkBytes, checkOptions, checkText } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { concat, u32 } from "../stream/mod.ts";
import { checkCodec } from "./checks.ts";
import type { Codec } from "./codec.ts";
import { stringKeys } from "./key_codec.ts";
import { KeyedState, type KeyedStateOptions } from "./keyed_state.ts";
import type { LogEntry, SaveTask, StateMachine } from "./machine.ts";
import type { ValueState } from "./state_types.ts";

const Op = { PUT: 1, DELETE: 2 } as const;

/** Options of {@linkcode KeyValueMachine}. */
export type KeyValueOptions = Omit<KeyedStateOptions<string>, "keys">;

/**
 * Keys and values in a {@linkcode KeyedState}, as its one state `entries`. It is changed by commands: {@linkcode put} and {@linkcode delete} make
 * them, the log carries them, {@linkcode apply} carries them out.
 *
 * @typeParam V the values
 *
 * @example
 * ```ts
 * import { jsonCodec, KeyValueMachine, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(jsonCodec<{ population: number }>());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("Ulm", { population: 120_714 }));
 * console.assert(machine.get("Ulm")?.population === 120_714);
 * await replica.close();
 * ```
 */
export class KeyValueMachine<V> implements StateMachine {
  readonly #codec: Codec<V>;
  readonly #keys = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #state: KeyedState<string>;
  readonly #entries: ValueState<string, V>;

  /**
   * Makes an empty machine.
   *
   * @param codec turns values into bytes
   * @param options how it is saved, and which key groups it has
   */
  constructor(codec: Codec<V>, options: KeyValueOptions = {}) {
    checkCodec(codec, "codec");
    checkOptions<object>(options, {});
    this.#codec = codec;
    this.#state = new KeyedState({ ...options, keys: stringKeys() });
    this.#entries = this.#state.value("entries", codec);
  }

  /** How many entries there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key. Not to be changed. */
  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  /** Whether there is an entry with this key. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The entries: by key groups, in each in the order in which they were put first. The same on every replica. */
  entries(): IterableIterator<[string, V]> {
    return this.#entries.entries();
  }

  /**
   * The command that puts an entry.
   *
   * @throws {SnapshotError} `MALFORMED` if the key has half of a surrogate pair, or the codec cannot hold the value
   */
  put(key: string, value: V): Uint8Array {
    const bytes = encodeKey(key);
    return concat([Uint8Array.of(Op.PUT), u32(bytes.length), bytes, this.#codec.encode(value)]);
  }

  /** The command that deletes an entry. */
  delete(key: string): Uint8Array {
    const bytes = encodeKey(key);
    return concat([Uint8Array.of(Op.DELETE), u32(bytes.length), bytes]);
  }

  /**
   * Looks whether this is a command, of a key that belongs here.
   *
   * @throws {SnapshotError} `MALFORMED` if it is not
   */
  validate(data: Uint8Array): void {
    this.#entries.has(this.#decode(checkBytes(data, "data")).key);
  }

  /** Carries out a command. */
  apply({ data }: LogEntry): void {
    const { key, put } = this.#decode(data);
    if (put === undefined) this.#entries.delete(key);
    else this.#entries.set(key, put.value);
  }

  /** Takes a view, in constant time; the rest of the save writes it. */
  save(): SaveTask {
    return this.#state.save();
  }

  /**
   * Replaces all entries by those of snapshots, in the key groups of this machine: see {@linkcode KeyedState.load}.
   *
   * @param readers usually one; several if the state was spread over more machines
   */
  async load(...readers: SnapshotReader[]): Promise<void> {
    await this.#state.load(...readers);
  }

  #decode(data: Uint8Array): { readonly key: string; readonly put?: { readonly value: V } } {
    const op = data[0];
    const length = data.length < 5 ? Infinity : new DataView(data.buffer, data.byteOffset).getUint32(1);
    if (op === Op.PUT ? 5 + length > data.length : op !== Op.DELETE || 5 + length !== data.length) throw noCommand();
    let key: string;
    try {
      key = this.#keys.decode(data.subarray(5, 5 + length));
    } catch (error) {
      throw noCommand(error);
    }
    return op === Op.PUT ? { key, put: { value: this.#codec.decode(data.subarray(5 + length)) } } : { key };
  }
}

function noCommand(cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", "This is no command of a key-value machine", { cause });
}

function encodeKey(key: string): Uint8Array {
  return new TextEncoder().encode(checkText(key, "key"));
}
