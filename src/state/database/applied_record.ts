/**
 * The record in a database of the last entry that was applied to the state in it.
 *
 * ```text
 * record = version loaded index term [configuration]   version = 01, loaded = 00 or 01
 *                                                      index and term = u64 big-endian
 *                                                      configuration = JSON; absent if it is not known
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { SnapshotReader } from "../../snapshot/mod.ts";
import { concat } from "../../stream/mod.ts";
import type { Configuration, DurablyApplied } from "../machine.ts";

const VERSION = 1;
/** Version, loaded, index, term. */
const FIXED = 1 + 1 + 8 + 8;

/** A record as bytes. */
export function encodeApplied({ index, term, configuration, loaded = false }: DurablyApplied): Uint8Array {
  const fixed = new Uint8Array(FIXED);
  const view = new DataView(fixed.buffer);
  fixed.set([VERSION, loaded ? 1 : 0]);
  view.setBigUint64(2, index);
  view.setBigUint64(10, term);
  if (configuration === undefined) return fixed;
  return concat([fixed, new TextEncoder().encode(JSON.stringify(configuration))]);
}

/**
 * The record of bytes.
 *
 * @throws {SnapshotError} `UNSUPPORTED` if a newer release wrote it, `MALFORMED` if it is none
 */
export function decodeApplied(bytes: Uint8Array): DurablyApplied {
  const [version, loaded] = bytes;
  if (version !== VERSION && version !== undefined) {
    throw new SnapshotError(
      "UNSUPPORTED",
      `What the database says of the entries that were applied has version ${version}; this release reads ${VERSION}`,
      { expected: VERSION, actual: version },
    );
  }
  if (bytes.length < FIXED || loaded! > 1) throw malformed();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const configuration = bytes.length === FIXED ? undefined : configurationOf(bytes.subarray(FIXED));
  return {
    index: view.getBigUint64(2),
    term: view.getBigUint64(10),
    ...(configuration !== undefined && { configuration }),
    ...(loaded === 1 && { loaded: true }),
  };
}

function configurationOf(bytes: Uint8Array): Configuration {
  try {
    const { peers, oldPeers } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isList = (list: unknown) => Array.isArray(list) && list.every((peer) => typeof peer === "string");
    if (isList(peers) && (oldPeers === undefined || isList(oldPeers))) {
      return { peers, ...(oldPeers !== undefined && { oldPeers }) };
    }
  } catch (error) {
    throw malformed(error);
  }
  throw malformed();
}

function malformed(cause?: unknown): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    "What the database says of the entries that were applied cannot be read: load a snapshot into a new database",
    { cause },
  );
}

/** The group of snapshots; nothing if they are of several. */
export function groupBy(readers: readonly SnapshotReader[]): string | undefined {
  const [first, ...others] = readers.map(({ manifest }) => manifest.meta.group);
  return others.every((group) => group === first) ? first : undefined;
}

/** Up to where a log is in snapshots; nothing if they are of several indices, of which no log goes on. */
export function appliedBy(readers: readonly SnapshotReader[]): DurablyApplied | undefined {
  const [first, ...others] = readers.map(({ manifest }) => manifest.meta);
  if (first === undefined) return undefined;
  const { lastIncludedIndex: index, lastIncludedTerm: term, peers, oldPeers } = first;
  if (others.some((meta) => meta.lastIncludedIndex !== index || meta.lastIncludedTerm !== term)) return undefined;
  return { index, term, configuration: { peers, ...(oldPeers !== undefined && { oldPeers }) }, loaded: true };
}
