/**
 * A key-value store as a state machine.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { concat, pump, u32 } from "../stream/mod.ts";
import type { Codec } from "./codec.ts";
import { CowMap } from "./cow_map.ts";
import { decodeEntries, encodeEntries } from "./entries.ts";
import type { LogEntry, SaveTask, StateMachine } from "./machine.ts";

const Op = { PUT: 1, DELETE: 2 } as const;
/** The file of a snapshot in which the entries are. */
const STATE_FILE = "state";

/**
 * Keys and values in a {@linkcode CowMap}. It is changed by commands: {@linkcode put} and {@linkcode delete} make
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
  #map = new CowMap<string, V>();

  /**
   * Makes an empty machine.
   *
   * @param codec turns values into bytes
   */
  constructor(codec: Codec<V>) {
    this.#codec = codec;
  }

  /** How many entries there are. */
  get size(): number {
    return this.#map.size;
  }

  /** The value of a key. Not to be changed. */
  get(key: string): V | undefined {
    return this.#map.get(key);
  }

  /** Whether there is an entry with this key. */
  has(key: string): boolean {
    return this.#map.has(key);
  }

  /** The entries, in the order in which they were put first: the same on every replica. */
  entries(): IterableIterator<[string, V]> {
    return this.#map.entries();
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
   * Looks whether this is a command.
   *
   * @throws {SnapshotError} `MALFORMED` if it is none
   */
  validate(data: Uint8Array): void {
    this.#decode(data);
  }

  /** Carries out a command. */
  apply({ data }: LogEntry): void {
    const { key, put } = this.#decode(data);
    if (put === undefined) this.#map.delete(key);
    else this.#map.set(key, put.value);
  }

  /** Takes a view; the rest of the save writes it. */
  save(): SaveTask {
    const view = this.#map.snapshot();
    return {
      write: (writer, signal) =>
        pump(ReadableStream.from(encodeEntries(view, this.#codec)), writer.file(STATE_FILE), { signal }),
      release: () => view.release(),
    };
  }

  /** Replaces all entries by those of a snapshot. */
  async load(reader: SnapshotReader): Promise<void> {
    const map = new CowMap<string, V>();
    await decodeEntries(reader.file(STATE_FILE), this.#codec, (key, value) => map.set(key, value));
    this.#map = map;
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
  if (key.isWellFormed()) return new TextEncoder().encode(key);
  throw new SnapshotError("MALFORMED", "A key has half of a surrogate pair, which UTF-8 cannot hold");
}
