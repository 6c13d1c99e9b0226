/**
 * Lengths and versions in commands, encoded as in protobuf: seven bits a byte, lowest first.
 *
 * @module
 */

/** The longest varint that is read, for numbers below 2^35. */
const MAX_BYTES = 5;

/** A number as bytes. */
export function varint(value: number): Uint8Array {
  if (value < 0x80) return Uint8Array.of(value);
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  bytes.push(value);
  return Uint8Array.from(bytes);
}

/**
 * Reads a number.
 *
 * @returns the number, and its end; nothing if there is none, or it is longer than necessary
 */
export function readVarint(bytes: Uint8Array, at: number): readonly [value: number, end: number] | undefined {
  let value = 0;
  for (let i = 0, factor = 1; i < MAX_BYTES && at + i < bytes.length; i++, factor *= 0x80) {
    const byte = bytes[at + i]!;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return byte === 0 && i > 0 ? undefined : [value, at + i + 1];
  }
  return undefined;
}
