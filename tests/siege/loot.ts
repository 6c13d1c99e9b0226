// What strangers can get hold of, since the leader serves it, or since somebody sent it once.

import { Buffer } from "node:buffer";

/** What strangers have. */
export interface Loot {
  /** The newest archive of the leader's: it is signed. */
  readonly archive: Uint8Array;
  /** Its manifest. */
  readonly manifest: Uint8Array;
  /** Of the same group, and signed by nobody. */
  readonly unsigned: Uint8Array;
  /** Signed by somebody who is trusted, of another group. */
  readonly foreign: Uint8Array;
  /** The index that would be the next. */
  readonly next: bigint;
  /** The last entry of the leader's log. */
  readonly last: bigint;
}

/** Writes it on one line. */
export function writeLoot(loot: Loot | null): string {
  return JSON.stringify(
    loot,
    (_key, value) =>
      typeof value === "bigint"
        ? { index: String(value) }
        : value instanceof Uint8Array
        ? { bytes: Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64") }
        : value,
  );
}

/** Reads what was written. */
export function readLoot(line: string): Loot | null {
  return JSON.parse(line, (_key, value) => {
    if (typeof value?.index === "string") return BigInt(value.index);
    return typeof value?.bytes === "string" ? new Uint8Array(Buffer.from(value.bytes, "base64")) : value;
  });
}
