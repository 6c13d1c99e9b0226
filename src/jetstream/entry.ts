/**
 * An entry as a message: the command is the payload, the rest is in the headers.
 *
 * @module
 */

import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import { SnapshotError } from "../errors.ts";
import { type Configuration, Entry, type LogEntry } from "../state/mod.ts";
import { nats } from "./nats.ts";

/** The header that marks a message as an entry; its value is the version. */
const MARK = "Snapstream-Entry";
const VERSION = "1";
/** The header with the members from this entry on, as JSON. */
const CONFIGURATION = "Snapstream-Configuration";
/** The header by which the server recognizes a message that was sent before. */
export const MESSAGE_ID = "Nats-Msg-Id";

/** The term of every entry: the stream elects its own leaders, and never has two entries of one index. */
export const TERM = 1n;

/** A message, as a consumer delivers it. */
export interface Delivered {
  /** The message's place in the stream. */
  readonly sequence: bigint;
  /** The number of messages after it, as known when it was sent. */
  readonly pending: number;
  /** The time that the server got it: milliseconds since 1970. */
  readonly time: number;
  /** The message. */
  readonly message: Msg;
}

/** An entry, and the id of its message. */
export interface Received {
  /** The entry. */
  readonly entry: LogEntry;
  /** The id that it was sent with. */
  readonly id: string;
}

/** The headers of an entry. The sender sets the id. */
export function headersOf(configuration: Configuration | undefined): MsgHdrs {
  const all = nats().core.headers();
  all.set(MARK, VERSION);
  if (configuration !== undefined) all.set(CONFIGURATION, JSON.stringify(configuration));
  return all;
}

/** Reads a message's place in the stream from its reply subject. */
export function delivered(message: Msg): Delivered {
  const words = (message.reply ?? "").split(".");
  // $JS.ACK.stream.consumer.count.sequence.count.time.pending; newer servers may put domain and account before stream
  const at = words.length > 9 ? 7 : 5;
  return {
    sequence: BigInt(words[at]!),
    pending: Number(words[at + 3]),
    time: Number(words[at + 2]) / 1e6,
    message,
  };
}

/**
 * Decodes an entry from a message.
 *
 * @throws {SnapshotError} `MALFORMED` if it is no entry; `UNSUPPORTED` if it is of a newer version
 */
export function entryOf({ sequence: index, message }: Delivered, stream: string): Received {
  const { headers: all, data } = message;
  const version = all?.get(MARK) ?? "";
  if (version !== VERSION) {
    throw version === "" || Number.isNaN(Number(version))
      ? notOurs("is no entry of a log: something else writes to the stream", index, stream)
      : new SnapshotError(
        "UNSUPPORTED",
        `Message ${index} of the stream ${stream} is an entry of version ${version}: use a newer release`,
        { index, source: stream, expected: VERSION, actual: version },
      );
  }
  const id = all!.get(MESSAGE_ID);
  const text = all!.get(CONFIGURATION);
  // A copy: received messages share one buffer, and a machine that keeps a command would keep all of it.
  const configuration = text === "" ? undefined : configurationOf(text, index, stream);
  return { entry: new Entry(index, TERM, data.slice(), undefined, configuration), id };
}

function configurationOf(text: string, index: bigint, stream: string): Configuration {
  try {
    const value = JSON.parse(text) as Partial<Configuration> | null;
    if (value !== null && areNames(value.peers) && areNames(value.oldPeers ?? [])) return value as Configuration;
  } catch {
    // It throws below.
  }
  throw notOurs("has a configuration that is none", index, stream);
}

function areNames(list: unknown): boolean {
  return Array.isArray(list) && list.every((name) => typeof name === "string");
}

function notOurs(what: string, index: bigint, stream: string): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `Message ${index} of the stream ${stream} ${what}. Nothing after it is applied; permit only replicas to write ` +
      `there`,
    { index, source: stream },
  );
}
