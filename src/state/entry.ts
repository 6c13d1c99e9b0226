/**
 * An entry of a log, as all logs give it.
 *
 * @module
 */

import { toJSON } from "../stream/mod.ts";
import type { Configuration, LogEntry } from "./machine.ts";

/**
 * An entry. It is of a class, since entries come by the million: a `toJSON` of its own would cost each what it takes;
 * so would a field that is defined before it is set.
 */
export class Entry implements LogEntry {
  declare readonly index: bigint;
  declare readonly term: bigint;
  declare readonly data: Uint8Array;
  declare readonly configuration?: Configuration;
  declare readonly time?: number;

  /** Makes one; what it does not have is absent. */
  constructor(index: bigint, term: bigint, data: Uint8Array, time?: number, configuration?: Configuration) {
    this.index = index;
    this.term = term;
    this.data = data;
    if (configuration !== undefined) this.configuration = configuration;
    if (time !== undefined) this.time = time;
  }

  /** Returns what `JSON.stringify` writes of it: index and term as strings, the data in hexadecimal. */
  toJSON(): Record<string, unknown> {
    return toJSON.call(this);
  }
}
