/**
 * A key-value store as a state machine.
 *
 * @module
 */

import { checkBytes, checkOptions } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { concat } from "../stream/mod.ts";
import { bytesOf, checkLength, refusedValue, shownKey, sizeOf } from "./accepted.ts";
import { type CommandCodec, commandCodec } from "./commands.ts";
import { checkCodec, type Codec, readVarint, stringKeys, varint } from "./codecs/mod.ts";
import { encodeAt } from "./format/mod.ts";
import type { KeyedStateOptions } from "./options.ts";
import { KeyedState, type KeyedValue } from "./memory/mod.ts";
import type { LogEntry, SaveTask, StateMachine } from "./machine.ts";

const Op = { PUT: 1, DELETE: 2 } as const;
/** The name of the only state of a machine. */
const ENTRIES = "entries";

/** A command. */
interface Command<V> {
  /** The key. */
  readonly key: string;
  /** The new value; absent if the entry is deleted. */
  readonly put: { readonly value: V } | undefined;
}

/** A command that a machine has validated, with the bytes that it is of. */
class Validated<V> implements Command<V> {
  readonly data: Uint8Array;
  readonly by: unknown;
  readonly key: string;
  readonly put: { readonly value: V } | undefined;

  constructor(data: Uint8Array, by: unknown, { key, put }: Command<V>) {
    this.data = data;
    this.by = by;
    this.key = key;
    this.put = put;
  }
}

/**
 * Options of {@linkcode KeyValueMachine}.
 *
 * @category State
 */
export type KeyValueOptions = Omit<KeyedStateOptions<string>, "keys" | "drop">;

/**
 * Keys and values in a {@linkcode KeyedState}, as its only state `entries`. Commands change it: {@linkcode put} and
 * {@linkcode delete} make them, the log carries them, {@linkcode apply} carries them out. Like a snapshot, a command
 * names its codec and version: an older version is migrated by the codec ({@linkcode versioned}), a newer one is
 * `UNSUPPORTED`.
 *
 * @category State
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
  readonly #commands: CommandCodec<Command<V>>;
  readonly #state: KeyedState<string>;
  readonly #entries: KeyedValue<string, V>;

  /**
   * Makes an empty machine.
   *
   * @param codec turns values into bytes
   * @param options how it is saved, and which key groups it has
   * @throws {SnapshotError} `MALFORMED` if an option is not allowed
   */
  constructor(codec: Codec<V>, options: KeyValueOptions = {}) {
    checkCodec(codec, "codec");
    checkOptions<object>(options, {});
    this.#codec = codec;
    this.#commands = commandCodec(operations(codec));
    this.#state = new KeyedState({ ...options, keys: stringKeys() });
    this.#entries = this.#state.value(ENTRIES, codec) as KeyedValue<string, V>;
  }

  /** The number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key. Not to be changed. */
  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  /** Reports whether there is an entry with this key. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The entries by key group, within each in the order in which they were first put. The same on every replica. */
  entries(): IterableIterator<[string, V]> {
    return this.#entries.entries();
  }

  /**
   * The command that puts an entry.
   *
   * @throws {SnapshotError} `MALFORMED` if the key has half of a surrogate pair, or the codec cannot hold the value
   */
  put(key: string, value: V): Uint8Array {
    return this.#commands.encode({ key, put: { value } });
  }

  /** The command that deletes an entry. */
  delete(key: string): Uint8Array {
    return this.#commands.encode({ key, put: undefined });
  }

  /**
   * Checks that this is a command that this program understands, of a key that belongs here.
   *
   * @throws {SnapshotError} `MALFORMED` if it is not, or puts a value that no save could write; `UNSUPPORTED` if a
   *   newer version of the codec wrote it, or another codec that is not replaced
   */
  validate(data: Uint8Array): unknown {
    const command = this.#commands.decode(checkBytes(data, "data"));
    const { key, put } = command;
    this.#entries.has(key);
    if (put !== undefined) attempt(this.#codec, key, () => sizeOf(this.#codec, put.value));
    return new Validated(data, this, command);
  }

  /**
   * Carries out a command.
   *
   * @param entry has the command
   * @param validated what {@linkcode validate} returned of it; anything else is passed over
   * @throws {SnapshotError} as {@linkcode validate}
   */
  apply(entry: LogEntry, validated?: unknown): void {
    const isOfEntry = validated instanceof Validated && validated.by === this && validated.data === entry.data;
    const { key, put } = isOfEntry ? validated as Validated<V> : this.#commands.decode(entry?.data);
    if (put === undefined) this.#entries.delete(key);
    else this.#entries.put(key, put.value); // encodable: validate, or the migration, encoded it once
  }

  /** Takes a view in constant time; the returned task writes it. */
  save(): SaveTask | undefined {
    return this.#state.save();
  }

  /**
   * Replaces all entries by those of snapshots, in the key groups of this machine: see {@linkcode KeyedState.load}.
   *
   * @param readers usually one; several if the state was spread over more machines
   */
  async load(...readers: (SnapshotReader | (() => void))[]): Promise<void> {
    await this.#state.load(...readers);
  }

  /** Checks that {@linkcode load} would load snapshots: see {@linkcode KeyedState.check}. */
  async check(...given: (SnapshotReader | boolean | undefined)[]): Promise<(() => void) | undefined> {
    return await this.#state.check(...given);
  }
}

/**
 * The codec of commands. Their values are encoded by `codec`, whose name and versions it takes over.
 *
 * ```text
 * bytes = operation length key [value]    operation = 01: puts, 02: deletes, and there is no value; length = varint, of
 *                                         the key in UTF-8; value = the bytes of its codec
 * ```
 */
function operations<V>(codec: Codec<V>): Codec<Command<V>> {
  const { name, version, migrate, replaces } = codec;
  const { hash, encodeInto: encodeKey } = stringKeys();
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const encoder = new TextEncoder();
  const read = (bytes: Uint8Array, valueOf: (bytes: Uint8Array, key: string) => V): Command<V> => {
    const [op = 0] = bytes;
    if (op > Op.DELETE) {
      throw new SnapshotError("UNSUPPORTED", `The command has operation ${op}: use a newer release of the program`, {
        actual: op,
      });
    }
    const [length, start] = readVarint(bytes, 1) ?? [Infinity, 0];
    const end = start + length;
    if (op === 0 || (op === Op.PUT ? end > bytes.length : end !== bytes.length)) throw noCommand();
    let key: string;
    try {
      key = textOf(bytes.subarray(start, end), decoder);
    } catch (error) {
      throw noCommand(error);
    }
    return { key, put: op === Op.PUT ? { value: valueOf(bytes.subarray(end), key) } : undefined };
  };
  return {
    name,
    ...(version !== undefined && { version }),
    ...(replaces !== undefined && { replaces }),
    ...(codec.encodeInto !== undefined && {
      encodeInto({ key, put }, target, at) {
        hash(key); // throws if it cannot be a key
        const start = at + 2;
        const end = encodeKey!(key, target, start);
        const length = end - start;
        if (end < 0 || length > MAX_SHORT) return -1;
        target[at] = put === undefined ? Op.DELETE : Op.PUT;
        target[at + 1] = length;
        return put === undefined ? end : attempt(codec, key, () => encodeAt(codec, put.value, target, end));
      },
    }),
    encode({ key, put }) {
      hash(key);
      const bytes = encoder.encode(key);
      checkLength(bytes.length);
      const start = [Uint8Array.of(put === undefined ? Op.DELETE : Op.PUT), varint(bytes.length), bytes];
      if (put === undefined) return concat(start);
      return concat([...start, attempt(codec, key, () => bytesOf(codec, put.value))]);
    },
    decode: (bytes) => read(bytes, (value) => codec.decode(value)),
    ...(migrate !== undefined && {
      migrate: (bytes, from) =>
        read(bytes, (old, key) => {
          const value = codec.migrate!(old, from);
          attempt(codec, key, () => sizeOf(codec, value)); // a migrated value must be savable too
          return value;
        }),
    }),
  };
}

/** The longest key whose length is a varint of one byte. */
const MAX_SHORT = 0x7f;
/** The longest key that is read character by character, which is faster than a call of `TextDecoder`. */
const SHORT = 32;

/** A key; throws what the decoder does if it is not UTF-8. */
function textOf(bytes: Uint8Array, decoder: InstanceType<typeof TextDecoder>): string {
  if (bytes.length > SHORT) return decoder.decode(bytes);
  let all = 0;
  for (const byte of bytes) all |= byte;
  return all < 0x80 ? String.fromCharCode.apply(null, bytes as unknown as number[]) : decoder.decode(bytes);
}

/** Runs `work` on a value; the error names the key. */
function attempt<V, T>(codec: Codec<V>, key: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refusedValue(ENTRIES, codec, `the value of ${shownKey(key)}`, error);
  }
}

function noCommand(cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", "This is no command of a key-value machine", { cause });
}
