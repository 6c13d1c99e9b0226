/**
 * The stream of a log: makes it, and checks that an existing one loses nothing.
 *
 * @module
 */

import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { SnapshotError } from "../errors.ts";
import { Interrupted, isNameInUse, isNoStream, wrap } from "./errors.ts";
import { nats } from "./nats.ts";

/** The time that the server remembers the id of a message, in milliseconds: its own default. */
const DUPLICATE_WINDOW = 120_000;
/** With a shorter window a message that is sent again could be taken for a new one. In milliseconds. */
const MIN_DUPLICATE_WINDOW = 1000;
const NANOS = 1_000_000;

/** A stream that is fit to be a log. */
export interface LogStream {
  /** Its name. */
  readonly name: string;
  /** The subject that messages are sent to. */
  readonly subject: string;
  /** The number of servers that keep it. */
  readonly replicas: number;
  /** The time it was made: another one of the same name is another log. */
  readonly created: string;
  /** The time that the server remembers the id of a message, in milliseconds. */
  readonly duplicateWindow: number;
  /** The largest message that it takes, in bytes; `Infinity` if it has no limit of its own. */
  readonly maxMessage: number;
}

/** The bounds of a stream. */
export interface StreamBounds {
  /** The first entry; if there is none, the index that the first will have. */
  readonly first: bigint;
  /** The last entry; one less than the first if there is none. */
  readonly last: bigint;
  /** Its bytes. */
  readonly bytes: number;
}

/**
 * Finds the stream of a log; makes it if there is none.
 *
 * @throws {SnapshotError} `UNSUPPORTED` if it exists, and could lose an entry
 */
export async function ensureStream(
  manager: JetStreamManager,
  name: string,
  replicas: number,
): Promise<LogStream> {
  try {
    return checkStream(await manager.streams.info(name));
  } catch (error) {
    if (!isNoStream(error)) throw wrap(error, "look at", name);
  }
  await make(manager, name, replicas);
  return checkStream(await manager.streams.info(name));
}

async function make(manager: JetStreamManager, name: string, replicas: number): Promise<void> {
  const { DiscardPolicy, RetentionPolicy, StorageType } = nats().jetstream;
  try {
    await manager.streams.add({
      name,
      subjects: [`${name}.log`],
      storage: StorageType.File,
      num_replicas: replicas,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      max_age: 0,
      max_msgs: -1,
      max_bytes: -1,
      max_msgs_per_subject: -1,
      max_msg_size: -1,
      duplicate_window: DUPLICATE_WINDOW * NANOS,
      deny_delete: true,
      deny_purge: false,
      allow_rollup_hdrs: false,
    });
  } catch (error) {
    if (!isNameInUse(error)) throw wrap(error, "make", name); // in use: another replica was faster
  }
}

/**
 * Checks that a stream keeps all that it acknowledges, until it is purged.
 *
 * @throws {SnapshotError} `UNSUPPORTED`, which names the settings that are wrong
 */
export function checkStream({ config, created }: StreamInfo): LogStream {
  const { name, subjects = [] } = config;
  // If many make it at once, some are answered before it exists.
  if (String(created).startsWith("0001-")) throw new Interrupted(`the stream ${name} is being made`);
  const wrong = unfit(config);
  if (wrong.length > 0) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `The stream ${name} cannot be a log, since entries could get lost: ${wrong.join("; ")}. Change it, or name ` +
        `another, which is made as it must be`,
      { source: name },
    );
  }
  return {
    name,
    subject: subjects[0]!,
    replicas: config.num_replicas,
    created: String(created),
    duplicateWindow: config.duplicate_window / NANOS,
    maxMessage: config.max_msg_size > 0 ? config.max_msg_size : Infinity,
  };
}

/** The settings that drop messages, take messages that are no entries, or do not acknowledge. */
function unfit(config: StreamConfig & { readonly allow_msg_ttl?: boolean }): string[] {
  const { subjects = [], mirror, sources } = config;
  const { RetentionPolicy, StorageType } = nats().jetstream;
  const wrong: string[] = [];
  const say = (is: boolean, what: string) => is && wrong.push(what);
  say(config.retention !== RetentionPolicy.Limits, `its retention is ${config.retention}, not limits`);
  say(config.max_age > 0, `max_age drops what is older than ${config.max_age / NANOS} ms`);
  say(config.max_msgs >= 0, `max_msgs keeps only ${config.max_msgs}`);
  say(config.max_bytes >= 0, `max_bytes keeps only ${config.max_bytes}`);
  say(config.max_msgs_per_subject > 0, `max_msgs_per_subject keeps only ${config.max_msgs_per_subject}`);
  say(config.storage !== StorageType.File, `its storage is ${config.storage}, not file`);
  say(config.allow_rollup_hdrs, "allow_rollup_hdrs lets a message replace all others");
  say(config.allow_msg_ttl === true, "allow_msg_ttl lets a message expire");
  say(mirror !== undefined || (sources?.length ?? 0) > 0, "it takes its messages from other streams");
  say(
    subjects.length !== 1 || /[*>]/.test(subjects.join()),
    `it has the subjects ${subjects.join(", ")}, not just one`,
  );
  say(config.no_ack === true, "no_ack acknowledges nothing");
  say(
    config.duplicate_window < MIN_DUPLICATE_WINDOW * NANOS,
    `duplicate_window is below ${MIN_DUPLICATE_WINDOW} ms: what is sent again would be there twice`,
  );
  return wrong;
}

/** The bounds of a stream, from its info. */
export function boundsOf({ state }: StreamInfo): StreamBounds {
  const last = BigInt(state.last_seq);
  const first = state.messages === 0 ? last + 1n : BigInt(state.first_seq);
  return { first, last, bytes: state.bytes };
}
