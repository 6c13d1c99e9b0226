// Changes of bytes that know nothing of what the bytes mean.

import type { Random } from "../support/random.ts";
import { concat } from "../../src/stream/mod.ts";

/** Bytes at which something ends, or turns over. */
export const BYTES: readonly number[] = [
  0,
  1,
  2,
  0x0a,
  0x2e,
  0x2f,
  0x5c,
  0x7f,
  0x80,
  0x81,
  0xbf,
  0xc0,
  0xed,
  0xfe,
  0xff,
];

/** Numbers at which something turns over. */
export const NUMBERS: readonly bigint[] = [
  ...[0n, 1n, 2n, 31n, 32n, 33n, 127n, 128n, 255n, 256n, 65_535n, 65_536n],
  ...[(1n << 22n) - 1n, 1n << 22n, (1n << 22n) + 1n, 1n << 26n, 1n << 30n, 1n << 31n, (1n << 32n) - 1n, 1n << 32n],
  ...[(1n << 53n) - 1n, 1n << 53n, (1n << 53n) + 1n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n],
];

/** A number that is extreme, near another one, or anything. */
export function someNumber(random: Random, near = 0n): bigint {
  if (random.chance(0.5)) return random.pick(NUMBERS);
  if (random.chance(0.6)) return BigInt.asUintN(64, near + BigInt(random.below(9) - 4));
  return BigInt(random.below(random.pick([10, 1000, 1e6, 2 ** 32, 2 ** 53])));
}

/** Bytes that look random. */
export function someBytes(random: Random, most: number): Uint8Array {
  return new Uint8Array(random.below(most + 1)).map(() => random.chance(0.3) ? random.pick(BYTES) : random.below(256));
}

/** The bytes changed in one place or in a few; `others` are spliced in. */
export function mutate(bytes: Uint8Array, random: Random, others: readonly Uint8Array[] = []): Uint8Array {
  let changed = bytes;
  for (let times = random.pick([1, 1, 1, 2, 3, 8]); times > 0; times--) changed = mutateOnce(changed, random, others);
  return changed;
}

function mutateOnce(bytes: Uint8Array, random: Random, others: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length + 1);
  const length = random.below(Math.min(bytes.length - at, random.pick([1, 4, 16, 1000])) + 1);
  const copy = bytes.slice();
  switch (random.below(12)) {
    case 0:
    case 1:
      if (at < copy.length) copy[at]! ^= 1 << random.below(8);
      return copy;
    case 2:
      if (at < copy.length) copy[at] = random.pick(BYTES);
      return copy;
    case 3:
      if (at < copy.length) copy[at] = copy[at]! + random.pick([-1, 1]);
      return copy;
    case 4: {
      const size = random.pick([2, 4, 8]);
      if (at + size > copy.length) return copy;
      const number = BigInt.asUintN(size * 8, someNumber(random));
      for (let i = 0; i < size; i++) copy[at + i] = Number(number >> BigInt(8 * (size - 1 - i)) & 0xffn);
      return copy;
    }
    case 5:
      return bytes.slice(0, at);
    case 6:
      return concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 7:
      return concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 8:
      return concat([bytes.subarray(0, at), someBytes(random, random.pick([1, 8, 100])), bytes.subarray(at)]);
    case 9:
      return concat([bytes, someBytes(random, random.pick([1, 8, 100]))]);
    case 10: {
      const to = random.below(bytes.length + 1);
      copy.copyWithin(to, at, at + length);
      return copy;
    }
    default: {
      if (others.length === 0) return copy;
      const other = random.pick(others);
      const from = random.chance(0.5) ? at : random.below(other.length + 1);
      return concat([bytes.subarray(0, at), other.subarray(from)]);
    }
  }
}

const CHARACTERS: readonly string[] = [
  ...["a", "b", "/", "//", ".", "..", "/../", "\\", "\0", "%", "%2f", "%2e%2e", " ", "\n", ":", "~", "é", "\ufeff"],
  ...["\ud800", "\udc00", "😀", "\uffff", "\u202e", "CON", "__raft_snapshot_meta", ".tmp", "/", "-", "=", ",", ";"],
  ...['"', "*", "0", "9", "18446744073709551615", "1e3", "\u0130"],
];

/** A text changed in a few places. */
export function mutateText(text: string, random: Random, pieces: readonly string[] = CHARACTERS): string {
  let changed = text;
  for (let times = random.pick([1, 1, 2, 3]); times > 0; times--) {
    const at = random.below(changed.length + 1);
    const end = Math.min(changed.length, at + random.below(random.pick([1, 2, 20])));
    const what = random.below(10);
    const put = what < 5 ? random.pick(pieces) : what < 7 ? "" : changed.slice(at, end).repeat(2);
    changed = changed.slice(0, at) + put + changed.slice(random.chance(0.5) ? at : end);
  }
  return changed;
}
