/**
 * Key groups: the parts of keyed state that can be spread over workers anew. The arithmetic is Flink's
 * (`KeyGroupRangeAssignment`, `MathUtils.murmurHash`), so that a key has the same group as in Flink.
 *
 * @module
 */

import { checkInteger, checkOptions, checkString, integer, required, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { MAX_KEY_GROUPS } from "../snapshot/mod.ts";

/**
 * A run of key groups, both ends included.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export interface KeyGroupRange {
  /** The first key group. */
  readonly first: number;
  /** The last key group. */
  readonly last: number;
}

/** The hash that Java gives a `String`: `31 * hash + unit` over the UTF-16 units. */
export function hashString(text: string): number {
  checkString(text, "text");
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(31, hash) + text.charCodeAt(i)) | 0;
  return hash;
}

/** The hash that Java gives a `Long`: its two halves, exclusive-or. */
export function hashLong(value: bigint): number {
  if (typeof value !== "bigint") throw unfit("value", "a bigint", value);
  return Number(BigInt.asIntN(32, value ^ (BigInt.asUintN(64, value) >> 32n)));
}

/** Flink's `MathUtils.murmurHash`: one round and the finaliser of Murmur3 over 32 bits, not negative. */
export function murmurHash(code: number): number {
  if (typeof code !== "number" || (code | 0) !== code) throw unfit("A hash", "an integer of 32 bits", code);
  let hash = Math.imul(code, 0xcc9e2d51);
  hash = (hash << 15) | (hash >>> 17);
  hash = Math.imul(hash, 0x1b873593);
  hash = (hash << 13) | (hash >>> 19);
  hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  hash ^= 4;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >= 0 ? hash : hash === -0x80000000 ? 0 : -hash;
}

/**
 * The key group of a key.
 *
 * @category State
 * @param hash Java's `hashCode` of the key: {@linkcode hashString}, {@linkcode hashLong}, or the key itself if it is an
 *   `Integer`
 * @param maxParallelism the number of key groups
 *
 * @example
 * ```ts
 * import { keyGroupOf } from "@snapstream/snapstream";
 * import { hashString } from "@snapstream/snapstream/extend";
 *
 * console.assert(keyGroupOf(hashString("user:42"), 128) === 11);
 * ```
 */
export function keyGroupOf(hash: number, maxParallelism: number): number {
  checkParallelism(maxParallelism, MAX_KEY_GROUPS);
  return murmurHash(hash) % maxParallelism;
}

/**
 * Flink's default number of key groups for so many workers: a power of two, at least 128.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export function defaultMaxParallelism(parallelism: number): number {
  checkParallelism(parallelism, MAX_KEY_GROUPS);
  const wanted = parallelism + Math.floor(parallelism / 2);
  return Math.min(Math.max(2 ** (32 - Math.clz32(wanted - 1)), 128), MAX_KEY_GROUPS);
}

/**
 * The key groups of a worker.
 *
 * @category State
 * @see {@linkcode workerOf}
 * @param maxParallelism the number of key groups; fixed for the life of the state
 * @param parallelism the number of workers
 * @param worker which one, from 0
 * @throws {SnapshotError} `MALFORMED` if there is no such worker
 */
export function keyGroupRange(maxParallelism: number, parallelism: number, worker: number): KeyGroupRange {
  checkParallelism(maxParallelism, MAX_KEY_GROUPS);
  checkParallelism(parallelism, maxParallelism);
  checkInteger(worker, "worker", 0, parallelism - 1);
  return {
    first: Math.floor((worker * maxParallelism + parallelism - 1) / parallelism),
    last: Math.floor(((worker + 1) * maxParallelism - 1) / parallelism),
  };
}

/**
 * The worker that has a key group: the one whose {@linkcode keyGroupRange} it is in.
 *
 * @category State
 * @param keyGroup the key group, from 0
 * @param maxParallelism the number of key groups
 * @param parallelism the number of workers
 * @throws {SnapshotError} `MALFORMED` if there is no such key group
 *
 * @example
 * ```ts
 * import { keyGroupRange, workerOf } from "@snapstream/snapstream";
 *
 * const worker = workerOf(100, 128, 4);
 * const { first, last } = keyGroupRange(128, 4, worker);
 * console.assert(first <= 100 && 100 <= last);
 * ```
 */
export function workerOf(keyGroup: number, maxParallelism: number, parallelism: number): number {
  checkParallelism(maxParallelism, MAX_KEY_GROUPS);
  checkParallelism(parallelism, maxParallelism);
  checkInteger(keyGroup, "keyGroup", 0, maxParallelism - 1);
  return Math.floor(keyGroup * parallelism / maxParallelism);
}

/**
 * Checks a range.
 *
 * @throws {SnapshotError} `MALFORMED` if it is none of `maxParallelism` key groups
 */
export function checkRange(range: KeyGroupRange, maxParallelism: number): void {
  checkParallelism(maxParallelism, MAX_KEY_GROUPS);
  const end = required(integer(0));
  const { first, last } = checkOptions(range, { first: end, last: end }, "range");
  if (first <= last && last < maxParallelism) return;
  throw new SnapshotError("MALFORMED", `There is no range of key groups ${first} to ${last} of ${maxParallelism}`, {
    actual: `${first} to ${last}`,
  });
}

function checkParallelism(count: number, limit: number): void {
  if (Number.isSafeInteger(count) && count >= 1 && count <= limit) return;
  throw unfit("A parallelism", `an integer, 1 to ${limit}`, count);
}
