/**
 * The contract of formats: detecting, opening and verifying what another system wrote.
 *
 * @module
 */

import type { Operation } from "../async/mod.ts";
import type { SnapshotReader, VerifyOptions, VerifyResult } from "../snapshot/mod.ts";
import type { SourceFiles } from "./files.ts";

/** A system whose snapshots can be read. */
export type System =
  | "braft"
  | "consul"
  | "etcd"
  | "etcd-snap"
  | "flink"
  | "hashicorp"
  | "jraft"
  | "ratis"
  | "redis"
  | "sqlite";

/** The system that wrote something, and how sure that is. */
export interface Detection {
  /** The system. */
  readonly system: System;
  /** `"certain"`: its own magic or layout; `"likely"`: it looks so, and another system's could. */
  readonly sure: "certain" | "likely";
  /** Its description, for a person. */
  readonly description: string;
  /** Other systems of which a directory has snapshots, as surely: one of all these is to be named to open it. */
  readonly others?: readonly System[];
}

/** A snapshot among those of a directory. */
export interface FormatSnapshot {
  /** The index of the last entry; 1 where the system has none. */
  readonly index: bigint;
  /** The term of it; 0 where the system has none. */
  readonly term: bigint;
  /** Bytes of its files. */
  readonly size: number;
  /** Its name in the directory. */
  readonly name: string;
}

/** Options of {@linkcode openFormat}. */
export interface OpenFormatOptions {
  /** The system, where it is known: nothing is detected then. */
  readonly system?: System;
  /** The index of the snapshot, of a directory with several; by default the one that its system would load. */
  readonly index?: bigint;
}

/** The result of {@linkcode FormatReader.verify}. */
export interface FormatVerifyResult extends VerifyResult {
  /** Everything that was checked, one line each, for a person. */
  readonly checked: readonly string[];
  /** Everything that cannot be checked, as the format has no checksum of it. */
  readonly unchecked: readonly string[];
}

/** A key and its value. */
export interface FormatEntry {
  /** The state, bucket, database or table that it is in. */
  readonly space: string;
  /** The key: text, number or bytes as far as the format says so. */
  readonly key: unknown;
  /** The value. */
  readonly value: unknown;
  /** The key within the value of `key`, of a map that is stored key by key. */
  readonly field?: unknown;
  /** What the value is for beside the key, such as Flink's windows. */
  readonly namespace?: unknown;
  /** The key group, where the format has them. */
  readonly keyGroup?: number;
  /** When it expires, if it does, in milliseconds since 1970: it is listed however long ago that was. */
  readonly expires?: bigint;
}

/** Options of {@linkcode FormatReader.entries}. */
export interface FormatEntriesOptions {
  /** Only what is in this state, bucket, database or table. */
  readonly space?: string;
  /** Only these key groups, of which alone the bytes are read. */
  readonly keyGroups?: { readonly first: number; readonly last: number };
  /** Stops it. */
  readonly signal?: AbortSignal;
}

/**
 * A snapshot of another system: a {@linkcode SnapshotReader} like any other, so that archives, pulls and servers
 * take it, and what its system says beyond that.
 *
 * `verified` is `"none"`: a check that stands at a file's end, or is of all of it, fails a read from the beginning only
 * when that comes to its last block. Those before it were handed on by then: use them once the read has ended, or
 * {@linkcode verify} first.
 */
export interface FormatReader extends SnapshotReader {
  /** The system that wrote it. */
  readonly system: System;
  /** What only this system has: numbers, texts, lists and objects of them; indices are `bigint`. */
  readonly details: Readonly<Record<string, unknown>>;
  /**
   * Checks all that its own system checks, and more where the bytes allow it.
   *
   * @param options the signal
   * @returns what was checked, what cannot be, and what is bad
   */
  verify(options?: VerifyOptions): Operation<FormatVerifyResult>;
  /**
   * Its keys and values, one after the other; nothing is held but a page or a block. A state that cannot be read is
   * passed over, and {@linkcode verify} names it, unless it was asked for by its name.
   *
   * @throws {SnapshotError} `UNSUPPORTED` where the state is opaque
   */
  entries(options?: FormatEntriesOptions): AsyncGenerator<FormatEntry, void, undefined>;
}

/** A system's format. */
export interface Format {
  /** The system. */
  readonly system: System;
  /** Says whether this is of the system, by its first bytes and its layout. */
  detect(files: SourceFiles): Promise<Detection | undefined>;
  /** The snapshots, in the order in which the system would try to load them. */
  list(files: SourceFiles): Promise<readonly FormatSnapshot[]>;
  /** Opens the one of an index, or the first. */
  open(files: SourceFiles, index?: bigint): Promise<FormatReader>;
}
