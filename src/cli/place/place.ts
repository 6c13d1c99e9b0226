/**
 * The contract of places: wherever snapshots are, the commands look at them in the same way.
 *
 * @module
 */

import type { Operation } from "../../async/mod.ts";
import type { SnapshotReader, SnapshotStorage, VerifyResult } from "../../snapshot/mod.ts";

/** A snapshot in a place. */
export interface Row {
  /** Its index. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** Bytes of its files. */
  readonly size: number;
  /** The number of its files; absent where finding out would mean reading it. */
  readonly files?: number;
  /** Its digest, hexadecimal; absent where another system has none. */
  readonly digest?: string;
  /** When it was taken: milliseconds since 1970. */
  readonly createdAt?: number;
  /** Its group. */
  readonly group?: string;
  /** Its name, where its system gives it one. */
  readonly name?: string;
}

/** What another system can say of a check, beside its result. */
export interface Verified extends VerifyResult {
  readonly checked?: readonly string[];
  readonly unchecked?: readonly string[];
}

/** A reader of a place. */
export interface PlaceReader extends Omit<SnapshotReader, "verify"> {
  /** What only its system has. */
  readonly details?: Readonly<Record<string, unknown>>;
  verify(options?: { readonly signal?: AbortSignal }): Operation<Verified>;
}

/** Somewhere that snapshots are. */
export interface Place {
  /** The address, for messages: without secrets. */
  readonly name: string;
  /** The system that wrote them: `"snapstream"`, `"braft"` … */
  readonly format: string;
  /** What it is, for a person, where that is no storage. */
  readonly description?: string;
  /** The storage, if it is one: then it can be written to, unless it was opened for looking. */
  readonly storage?: SnapshotStorage;
  /** What is wrong in it: damaged, unreadable and quarantined snapshots. */
  troubles(): Promise<readonly Trouble[]>;
  /** The snapshots, newest first. */
  list(): Promise<readonly Row[]>;
  /** Opens one; the newest, or the one that its system would load, if none is named. */
  open(index?: bigint): Promise<PlaceReader>;
  /** Closes it. */
  close(): Promise<void>;
}

/** A snapshot of a place that is not listed. */
export interface Trouble {
  readonly kind: "damaged" | "unreadable" | "quarantined";
  readonly index: bigint;
  /** The code and the message of the error; absent if it is quarantined. */
  readonly code?: string;
  readonly message?: string;
  /** When it was quarantined. */
  readonly at?: number;
}
