/**
 * Limits of what is taken in from others: a manifest of some kilobytes can stand for terabytes, or for a hundred
 * thousand files.
 *
 * @module
 */

import { checkInteger, type Checks, integer } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { MAX_FILES } from "./manifest_bytes.ts";
import type { SnapshotMeta } from "./meta.ts";

/**
 * Limits of a snapshot that is taken in.
 *
 * @category Storage
 * @see {@linkcode snapshotHandler}
 */
export interface SnapshotLimits {
  /** The most bytes of all its files. By default there is no limit. */
  readonly bytes?: number;
  /**
   * The most files.
   *
   * @default {250000}
   */
  readonly files?: number;
  /**
   * The most directories that its files lie in.
   *
   * @default {250000}
   */
  readonly directories?: number;
}

/** The checks of {@linkcode SnapshotLimits}. */
export function limitChecks(): Checks<SnapshotLimits> {
  const bytes = (value: unknown, what: string) => value === Infinity || checkInteger(value, what);
  return { bytes, files: integer(1, MAX_FILES), directories: integer(0) };
}

/** Counts what a snapshot is made of, and refuses it when it is too much. */
export class LimitedSize {
  readonly #limits: Required<SnapshotLimits>;
  #files = 0;
  #bytes = 0;
  /** Directories so far; one counts again if its files do not come one after the other. */
  #directories = 0;
  #directory: readonly string[] = [];

  /** @param limits the limits */
  constructor({ bytes = Infinity, files = MAX_FILES, directories = MAX_FILES }: SnapshotLimits = {}) {
    this.#limits = { bytes, files, directories };
  }

  /** @throws {SnapshotError} `MALFORMED` if that is a file, or a directory, too many */
  addFile(name: string): void {
    const directory = name.split("/").slice(0, -1);
    let shared = 0;
    while (shared < directory.length && directory[shared] === this.#directory[shared]) shared++;
    this.#directories += directory.length - shared;
    this.#directory = directory;
    this.#check("directories", this.#directories);
    this.#check("files", ++this.#files);
  }

  /** @throws {SnapshotError} `MALFORMED` if these are bytes too many */
  addBytes(count: number): void {
    this.#check("bytes", this.#bytes += count);
  }

  #check(what: keyof SnapshotLimits, actual: number): void {
    const limit = this.#limits[what];
    if (actual <= limit) return;
    throw new SnapshotError("MALFORMED", `The snapshot has more than ${limit} ${what}, which is the limit here`, {
      expected: limit,
      actual,
    });
  }
}

/** Checks all of a snapshot against limits. */
export function checkLimits({ files, size }: Pick<SnapshotManifest, "files" | "size">, limits?: SnapshotLimits): void {
  const counted = new LimitedSize(limits);
  for (const { name } of files) counted.addFile(name);
  counted.addBytes(size);
}

/** The highest index, and term, that leaves room for what comes after it: 2^62. */
export const MAX_TAKEN: bigint = 1n << 62n;

/**
 * Refuses a snapshot after which nothing could be proposed, or no leader elected: its index or term is near the end.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkHeadroom({ lastIncludedIndex: index, lastIncludedTerm: term }: SnapshotMeta): void {
  const wrong = index > MAX_TAKEN ? "index" : term > MAX_TAKEN ? "term" : undefined;
  if (wrong === undefined) return;
  throw new SnapshotError(
    "MALFORMED",
    `Snapshot ${index} of term ${term} is not taken in: behind that ${wrong} there is no room for entries. To have ` +
      `it all the same, install it by its index`,
    { index, expected: MAX_TAKEN, actual: wrong === "index" ? index : term },
  );
}
