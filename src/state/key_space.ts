/**
 * The keys of a state: those of a range of key groups.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { KeyCodec } from "./codecs/mod.ts";
import { checkRange, keyGroupOf, type KeyGroupRange } from "./key_groups.ts";

/** The keys of a worker. */
export class KeySpace<K> {
  /** The codec of the keys. */
  readonly keys: KeyCodec<K>;
  /** The number of key groups. */
  readonly maxParallelism: number;
  /** The key groups that are kept here. */
  readonly range: KeyGroupRange;

  /**
   * @param options the keys, and which key groups; all of 128 by default
   * @throws {SnapshotError} `MALFORMED` if there is no such range
   */
  constructor(
    options: { readonly keys: KeyCodec<K>; readonly maxParallelism?: number; readonly range?: KeyGroupRange },
  ) {
    const { keys, maxParallelism = 128, range = { first: 0, last: maxParallelism - 1 } } = options;
    checkRange(range, maxParallelism);
    this.keys = keys;
    this.maxParallelism = maxParallelism;
    this.range = range;
  }

  /** The key group of a key. */
  keyGroup(key: K): number {
    return keyGroupOf(this.keys.hash(key), this.maxParallelism);
  }

  /** Reports whether a key belongs here. */
  owns(key: K): boolean {
    const group = this.keyGroup(key);
    return group >= this.range.first && group <= this.range.last;
  }

  /**
   * The key group of a key that must belong here.
   *
   * @throws {SnapshotError} `MALFORMED` if it does not
   */
  ownGroup(key: K): number {
    const group = this.keyGroup(key);
    const { first, last } = this.range;
    if (group >= first && group <= last) return group;
    throw new SnapshotError("MALFORMED", `Key group ${group}, of ${String(key)}, is not among ${first} to ${last}`, {
      keyGroup: group,
    });
  }

  /**
   * Checks that a key found in a key group of a file belongs to that group.
   *
   * @throws {SnapshotError} `MALFORMED` if not. Not `CORRUPT`, which would quarantine one snapshot after the other: the
   *   digests are right, but the writer, or the hash of its keys, was wrong
   */
  checkPlace(keyGroup: number, key: K): void {
    const actual = this.keyGroup(key);
    if (actual === keyGroup) return;
    throw new SnapshotError(
      "MALFORMED",
      `Key group ${keyGroup} of the snapshot has ${String(key)}, which is of key group ${actual}`,
      { keyGroup, expected: keyGroup, actual },
    );
  }
}
