/**
 * The checks that every storage makes of its options.
 *
 * @module
 */

import {
  able,
  checkBoolean,
  checkBytes,
  checkFunction,
  checkIndex,
  checkInteger,
  checkOptions,
  checkSignal,
  integer,
  isOf,
  unfit,
} from "../checks.ts";
import { checkChunkSize } from "../stream/mod.ts";
import type { PrepareOptions } from "./install.ts";
import { SnapshotManifest } from "./manifest.ts";
import { attributeChecks, type FileOptions } from "./meta.ts";
import type { ReadOptions, SnapshotReader, VerifyOptions } from "./reader.ts";
import type { SnapshotStorage } from "./storage.ts";
import type { AddOptions, CommitOptions, CreateOptions } from "./writer.ts";

/** Checks the options of `SnapshotStorage.create`. */
export function checkCreateOptions(options: CreateOptions): CreateOptions {
  return checkOptions(options, { onBytes: checkFunction, onReused: checkFunction, raw: checkBoolean });
}

/** Checks the options of `SnapshotWriter.file`. */
export function checkFileOptions(options: FileOptions): FileOptions {
  return checkOptions(options, {
    ...attributeChecks(),
    size: integer(0),
    chunkSize: (value, what) => value === "pieces" || checkChunkSize(value as number, what),
    keyGroups: checkFunction,
    encryption: checkFunction,
  });
}

/** Checks the options of `SnapshotWriter.commit`. */
export function checkCommitOptions(options: CommitOptions): CommitOptions {
  return checkOptions(options, { digest: checkBytes, check: checkFunction });
}

/** Checks the options of `SnapshotWriter.add`. */
export function checkAddOptions(options: AddOptions): AddOptions {
  return checkOptions(options, { immutable: checkBoolean, reference: checkBoolean });
}

/** Checks the options of `SnapshotReader.file`, and returns the range, and whether chunks need not be verified. */
export function checkReadOptions(options: ReadOptions): Required<Pick<ReadOptions, "start" | "end" | "unverified">> {
  const { start = 0, end = Infinity, unverified = false } = checkOptions(options, {
    start: checkPosition,
    end: checkPosition,
    raw: checkBoolean,
    unverified: checkBoolean,
  });
  return { start, end, unverified };
}

function checkPosition(value: unknown, what: string): void {
  if (value !== Infinity) checkInteger(value, what);
}

/** Checks the options of `SnapshotReader.verify`. */
export function checkVerifyOptions(options: VerifyOptions): VerifyOptions {
  return checkOptions(options, { signal: checkSignal });
}

/** Checks the arguments of `SnapshotStorage.restore`. */
export function checkRestore(index: bigint, options: VerifyOptions): VerifyOptions {
  checkIndex(index, "index");
  return checkVerifyOptions(options);
}

/** Checks the options of `SnapshotInstall.prepare`. */
export function checkPrepareOptions(options: PrepareOptions): PrepareOptions {
  return checkOptions(options, { signal: checkSignal, onReused: checkFunction });
}

/** Checks a manifest. */
export function checkManifest(value: unknown, what: string): void {
  if (!isOf(value, SnapshotManifest)) throw unfit(what, "a SnapshotManifest", value);
}

/** Checks a storage. */
export function checkStorage(value: unknown, what: string): asserts value is SnapshotStorage {
  able("a SnapshotStorage", "create", "open", "list", "install", "close")(value, what);
}

/** Checks an open snapshot. */
export function checkReader(value: unknown, what: string): void {
  able("a SnapshotReader", "file")(value, what);
  checkManifest((value as SnapshotReader).manifest, `${what}.manifest`);
}

/** Checks a signer. */
export function checkSigner(value: unknown, what: string): void {
  able("a SnapshotSigner", "sign")(value, what);
}

/** Checks a verifier. */
export function checkVerifier(value: unknown, what: string): void {
  able("a SnapshotVerifier", "verify")(value, what);
}
