/**
 * Commands that name the codec that wrote them, and its version: a log outlives the program that appended to it.
 *
 * ```text
 * command = format length name version bytes    format = 01; length = varint, of the codec's name in UTF-8;
 *                                               version = varint; bytes = those of the codec
 * ```
 *
 * A varint is protobuf's, and never longer than necessary. With `jsonCodec` the header has seven bytes.
 *
 * @module
 */

import { Block, checkCodec, type Codec, type CodecVersion, readVarint, varint } from "./codecs/mod.ts";
import { checkBytes } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { concat } from "../stream/mod.ts";
import { bytesBehind } from "./accepted.ts";
import { decoderOf, type NamedCodec } from "./format/mod.ts";

const FORMAT = 1;
/** The highest format that a later release may have. Other first bytes begin no command, but JSON, for example. */
const MAX_FORMAT = 15;
/** The highest version. */
const MAX_VERSION = 0xffff_ffff;

/**
 * Turns the commands of a state machine into entries of a log and back: see {@linkcode commandCodec}.
 *
 * @category State
 */
export interface CommandCodec<C> {
  /**
   * The entry of a command.
   *
   * @throws {SnapshotError} `MALFORMED` if the codec cannot hold it
   */
  encode(command: C): Uint8Array;
  /**
   * The command of an entry, migrated if an older version wrote it.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if a newer version wrote it, or another codec that is not replaced;
   *   `MALFORMED` if it is no command
   */
  decode(data: Uint8Array): C;
}

/**
 * Puts the name and version of a codec before each command, for state machines of one's own. Call `decode` in
 * `validate`, so that a command that this program does not understand is refused before it is appended; and in `apply`
 * where that was not validated, since a newer program may have appended to the log before it was rolled back to this
 * one.
 *
 * @category State
 * @typeParam C the commands
 * @param codec of the newest version of commands: see {@linkcode versioned}
 * @throws {SnapshotError} `MALFORMED` if the codec's name or version cannot be written down
 *
 * @example
 * ```ts
 * import { commandCodec, jsonCodec, type LogEntry, versioned } from "@snapstream/snapstream";
 *
 * interface Deposit { account: string; cents: number }
 * const deposits = commandCodec(versioned(jsonCodec<Deposit>(), 1, (bytes) => {
 *   const { account, euros } = jsonCodec<{ account: string; euros: number }>().decode(bytes); // version 0
 *   return { account, cents: euros * 100 };
 * }));
 *
 * class Accounts { // the part of a StateMachine that commands concern
 *   readonly cents = new Map<string, number>();
 *   validate(data: Uint8Array): Deposit {
 *     return deposits.decode(data);
 *   }
 *   apply({ data }: LogEntry, validated?: unknown): void {
 *     const { account, cents } = (validated as Deposit | undefined) ?? deposits.decode(data);
 *     this.cents.set(account, (this.cents.get(account) ?? 0) + cents);
 *   }
 * }
 * const old = commandCodec(jsonCodec<{ account: string; euros: number }>());
 * const accounts = new Accounts();
 * accounts.apply({ index: 1n, term: 1n, data: old.encode({ account: "Ada", euros: 5 }) });
 * console.assert(accounts.cents.get("Ada") === 500);
 * ```
 */
export function commandCodec<C>(codec: Codec<C>): CommandCodec<C> {
  checkCodec(codec, "codec");
  const header = headerOf(codec);
  return {
    encode: (command) => bytesBehind(header, codec, command),
    decode(command) {
      const data = checkBytes(command, "The data of a command");
      if (startsWith(data, header)) return codec.decode(data.subarray(header.length));
      const { from, start } = readHeader(data);
      return decoderOf(codec, from, "The command")(new Block(data), start, data.length);
    },
  };
}

function headerOf({ name, version = 0 }: NamedCodec): Uint8Array {
  if (typeof name !== "string" || !name.isWellFormed()) {
    throw new SnapshotError("MALFORMED", "The name of a codec is a text without half of a surrogate pair");
  }
  if (!Number.isSafeInteger(version) || version < 0 || version > MAX_VERSION) {
    throw new SnapshotError("MALFORMED", `The version of a codec is 0 to 2^32-1, not ${version}`, { actual: version });
  }
  const bytes = new TextEncoder().encode(name);
  return concat([Uint8Array.of(FORMAT), varint(bytes.length), bytes, varint(version)]);
}

function startsWith(data: Uint8Array, header: Uint8Array): boolean {
  for (let i = 0; i < header.length; i++) if (data[i] !== header[i]) return false;
  return true;
}

/** Reads the codec that wrote a command, and the offset of its bytes. */
function readHeader(data: Uint8Array): { readonly from: CodecVersion; readonly start: number } {
  const [format = 0] = data;
  if (format === 0 || format > MAX_FORMAT) throw noCommand("it does not say what wrote it");
  if (format !== FORMAT) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `The command has format ${format}; this release reads ${FORMAT}: use a newer release of the program`,
      { expected: FORMAT, actual: format },
    );
  }
  const [length, begin] = readVarint(data, 1) ?? [Infinity, 0];
  const [version, start] = readVarint(data, begin + length) ?? [Infinity, 0];
  if (version > MAX_VERSION) throw noCommand("its header is cut short");
  try {
    const name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      data.subarray(begin, begin + length),
    );
    return { from: { name, version }, start };
  } catch (error) {
    throw noCommand("the name of its codec is not UTF-8", error);
  }
}

function noCommand(what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `This is no command of a state machine: ${what}`, { cause });
}
