/**
 * The names in the root of a directory storage: those of braft, and ours.
 *
 * ```text
 * snapshot_00000000000000001000/   a snapshot: 20 digits, no more and no less
 * temp/                            the one being written
 * install-1000-1a2b3c4d/           one being received: index, first 8 hexadecimal digits of its digest
 * trash-…/                         on its way out
 * corrupt-1000-…/                  found bad, kept for a person
 * .lock                            held by the process that has the storage open
 * ```
 *
 * braft takes anything that begins with `snapshot_` and a digit for a snapshot, and deletes all but the one with the
 * greatest number: so no other name of ours begins like that.
 *
 * @module
 */

import { MAX_INDEX } from "../snapshot/mod.ts";
import { toHex } from "../stream/mod.ts";

/** The place of the snapshot that is being written. */
export const TEMP = "temp";
/** The lock of the root. */
export const LOCK = ".lock";

/** The directory of a snapshot. */
export function snapshotDirectory(index: bigint): string {
  return `snapshot_${String(index).padStart(20, "0")}`;
}

/** Returns the index of a snapshot's directory; nothing for a name that is not one. */
export function indexOfDirectory(name: string): bigint | undefined {
  if (!/^snapshot_[0-9]{20}$/.test(name)) return undefined;
  const index = BigInt(name.slice("snapshot_".length));
  return index >= 1n && index <= MAX_INDEX ? index : undefined;
}

/** The directory of an install. */
export function installDirectory(index: bigint, digest: Uint8Array): string {
  return `install-${index}-${toHex(digest.subarray(0, 4))}`;
}

/** Reports whether this is the directory of an install. */
export function isInstall(name: string): boolean {
  return /^install-[1-9][0-9]{0,18}-[0-9a-f]{8}$/.test(name);
}

/** Reports whether this is a directory that is being removed. */
export function isTrash(name: string): boolean {
  return /^trash-[0-9a-f-]+$/.test(name);
}

/** Returns a new name for a directory that is being removed. */
export function trashDirectory(): string {
  return `trash-${crypto.randomUUID()}`;
}

/** Returns the index and time in a name of {@linkcode corruptDirectory}; nothing for any other name. */
export function quarantinedAs(name: string): { readonly index: bigint; readonly at: number } | undefined {
  const [, index, at] = /^corrupt-([1-9][0-9]{0,18})-([0-9]{1,15})-[0-9a-f]{8}$/.exec(name) ?? [];
  return index === undefined ? undefined : { index: BigInt(index), at: Number(at) };
}

/** Returns a new, unique name for a snapshot that was found bad; it contains the time. */
export function corruptDirectory(index: bigint): string {
  return `corrupt-${index}-${Date.now()}-${crypto.randomUUID().slice(0, 8)}`;
}
