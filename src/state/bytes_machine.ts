/**
 * A machine out of anything that has its own encoding.
 *
 * @module
 */

import { checkBytes, checkFunction, checkOptions, required } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { concat, streamFrom } from "../stream/mod.ts";
import type { LogEntry, SaveTask, StateMachine } from "./machine.ts";

/** The only file of its snapshots. */
const FILE = "state";

/**
 * The parts of a {@linkcode bytesMachine}.
 *
 * @category State
 */
export interface BytesMachineOptions {
  /** Applies an entry: see {@linkcode StateMachine.apply}. */
  readonly apply: (entry: LogEntry) => void | Promise<void>;
  /**
   * Returns all state as bytes, which are not to be changed afterwards; nothing if there is nothing to save. Called
   * between two applies, which wait for it.
   */
  readonly encode: () => Uint8Array | undefined;
  /** Replaces all state by what `encode` has returned once. If it throws, the state must be as it was. */
  readonly decode: (bytes: Uint8Array) => void | Promise<void>;
}

/**
 * Makes a state machine of something that encodes itself: a Yjs document, an Automerge document, an XState actor, an
 * object as JSON. All of it is encoded at once, in memory: for state that is larger, or changes while it is saved, see
 * {@linkcode KeyedState}.
 *
 * @category State
 * @param options how it is applied to, encoded and decoded
 * @returns the machine, for a {@linkcode Replica}, or for {@linkcode save} and {@linkcode restore}
 * @throws {SnapshotError} `MALFORMED` if one of them is no function; its `save` throws it if `encode` gives no bytes
 *
 * @example
 * ```ts
 * import { bytesMachine, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 *
 * let votes: Record<string, number> = {};
 * const machine = bytesMachine({
 *   apply({ data }) {
 *     const name = new TextDecoder().decode(data);
 *     votes[name] = (votes[name] ?? 0) + 1;
 *   },
 *   encode: () => new TextEncoder().encode(JSON.stringify(votes)),
 *   decode: (bytes) => void (votes = JSON.parse(new TextDecoder().decode(bytes))),
 * });
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(new TextEncoder().encode("Ada"));
 * await replica.snapshot();
 * console.assert(votes.Ada === 1);
 * await replica.close();
 * ```
 */
export function bytesMachine(options: BytesMachineOptions): StateMachine {
  const { apply, encode, decode } = checkOptions(options, {
    apply: required(checkFunction),
    encode: required(checkFunction),
    decode: required(checkFunction),
  });
  return {
    apply: (entry) => apply(entry),
    save(): SaveTask | undefined {
      const encoded = encode();
      if (encoded === undefined) return undefined;
      const bytes = checkBytes(encoded, "What encode gives");
      return {
        write: (writer, signal) => streamFrom(bytes.length > 0 ? [bytes] : []).pipeTo(writer.file(FILE), { signal }),
        release() {},
      };
    },
    async load(reader: SnapshotReader): Promise<void> {
      if (!reader.manifest.files.some(({ name }) => name === FILE)) {
        throw new SnapshotError("MALFORMED", `The snapshot has no file "${FILE}": another kind of machine saved it`, {
          file: FILE,
        });
      }
      const parts: Uint8Array[] = [];
      for await (const part of reader.file(FILE)) parts.push(part);
      await decode(concat(parts));
    },
  };
}
