/**
 * Groups: which snapshots are of one state machine.
 *
 * | a storage, or its replica, that | takes from elsewhere | loads from its storage | saves |
 * |---|---|---|---|
 * | was told its group | those of its group | those of its group, and older ones of none | that group |
 * | was not, and has a snapshot of a group | those of the same | all; a replica, as above | the same |
 * | was not, and has snapshots, all of none | those of none | them | none, or what the save names |
 * | was not, and has no snapshot | the first that comes | | none, or what the save names |
 *
 * Everything else is refused (`FORBIDDEN`) before anything is written. A snapshot of another group that lies in a
 * storage is left where it is: neither listed nor opened, retired or overwritten.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";

/** The longest name of a group, in bytes of UTF-8. */
export const MAX_GROUP_BYTES = 255;

/** Something that is of a group, or of none. */
interface Grouped {
  readonly group?: string;
}

/** The part of a snapshot's metadata that matters here. */
interface GroupedMeta extends Grouped {
  readonly lastIncludedIndex: bigint;
}

/**
 * Checks the name of a group.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkGroup(group: unknown, what = "The group"): string {
  const wrong = typeof group !== "string"
    ? `it is ${group === null ? "null" : typeof group}, not a string`
    : group === ""
    ? "it is empty"
    : !group.isWellFormed()
    ? "it has half of a surrogate pair, which UTF-8 cannot hold"
    : group.includes("\0")
    ? "it has a NUL"
    : new TextEncoder().encode(group).length > MAX_GROUP_BYTES
    ? `it is longer than ${MAX_GROUP_BYTES} bytes`
    : undefined;
  if (wrong === undefined) return group as string;
  throw new SnapshotError("MALFORMED", `${what} is no name of a group: ${wrong}`);
}

/**
 * Returns the group of something that was of `current` until now.
 *
 * @throws {SnapshotError} `FORBIDDEN` if it is of another group already; `MALFORMED`
 */
export function boundGroup(current: string | undefined, group: string, what: string): string {
  checkGroup(group);
  if (current === undefined || current === group) return group;
  throw new SnapshotError("FORBIDDEN", `${what} is of ${named(current)}, not of ${named(group)}: each has its own`, {
    expected: current,
    actual: group,
  });
}

/** Reports whether a snapshot that lies in a storage of the group `own` is the storage's own. */
export function isOfGroup({ group }: Grouped, own: string | undefined): boolean {
  return own === undefined || group === undefined || group === own;
}

/**
 * Checks a snapshot that comes from elsewhere.
 *
 * @param group the receiver's, if that is known
 * @param here the snapshots that are there, newest first
 * @param offered what is offered
 * @param source the address that it comes from
 * @throws {SnapshotError} `FORBIDDEN` if it is of another group
 */
export function checkOffered(
  group: string | undefined,
  here: readonly { readonly meta: Grouped }[],
  offered: GroupedMeta,
  source?: string,
): void {
  const expected = group ?? groupOf(here);
  if (offered.group === expected || expected === undefined && here.length === 0) return;
  throw otherGroup(offered, expected, "is not taken in", source);
}

/**
 * The group of a snapshot that is saved.
 *
 * @param group of the storage, if that is known
 * @param here the snapshots that are there, newest first
 * @param meta the metadata of the new one
 * @throws {SnapshotError} `FORBIDDEN` if that is of another group
 */
export function groupOfSave(
  group: string | undefined,
  here: readonly { readonly meta: Grouped }[],
  meta: GroupedMeta,
): string | undefined {
  const expected = group ?? groupOf(here);
  if (meta.group === undefined || expected === undefined || meta.group === expected) return meta.group ?? expected;
  throw otherGroup(meta, expected, "is not saved");
}

/** The group of the newest snapshot that has one. */
export function groupOf(here: readonly { readonly meta: Grouped }[]): string | undefined {
  return here.find(({ meta }) => meta.group !== undefined)?.meta.group;
}

/** The error for a snapshot of another group. */
export function otherGroup(
  { lastIncludedIndex: index, group }: GroupedMeta,
  expected: string | undefined,
  outcome: string,
  source?: string,
): SnapshotError {
  return new SnapshotError(
    "FORBIDDEN",
    `Snapshot ${index}${source === undefined ? "" : ` of ${source}`} is of ${named(group)}, and here is ` +
      `${named(expected)}: it ${outcome}. Give each group storages and addresses of its own; to give a group to what ` +
      `has none, say so where it is saved`,
    {
      index,
      ...(expected !== undefined && { expected }),
      ...(group !== undefined && { actual: group }),
      ...(source !== undefined && { source }),
    },
  );
}

function named(group: string | undefined): string {
  return group === undefined ? "no group" : `group ${JSON.stringify(group)}`;
}
