// A log's stream as an adversary sends it: each kind of wrong is refused by its own error, which says where and of whom,
// and nothing of it is handed on.

import type { LogEntry, SnapshotErrorCode } from "../../mod.ts";
import { SnapshotError } from "../../mod.ts";
import { encodeBatch, encodeEnd, encodeHeader, encodeHeartbeat, LogReader } from "../../src/log/mod.ts";
import { concat } from "../../src/stream/mod.ts";
import { assert, test } from "../support/harness.ts";

const PREVIOUS = new Uint8Array(32).fill(7);
const OTHER = new Uint8Array(32).fill(8);
const SOURCE = "http://leader";

const entry = (index: bigint, term = 3n): LogEntry => ({ index, term, data: Uint8Array.of(Number(index)) });
const header = (changed: Partial<Parameters<typeof encodeHeader>[0]> = {}) =>
  encodeHeader({ first: 5n, previous: PREVIOUS, term: 2n, group: "users", ...changed });
const batch = (...entries: LogEntry[]) => encodeBatch(entries, PREVIOUS);
const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => i === at ? byte ^ 1 : byte);
/** A length, in front of nothing. */
const announced = (bytes: number) => {
  const length: number[] = [];
  for (; bytes >= 0x80; bytes = Math.floor(bytes / 0x80)) length.push(bytes % 0x80 | 0x80);
  return Uint8Array.of(...length, bytes);
};

/** What is sent, and the code of what it is refused with. */
const WRONG: Readonly<Record<string, readonly [sent: Uint8Array, code: SnapshotErrorCode]>> = {
  "nothing of a header": [batch(entry(5n)).bytes, "MALFORMED"],
  "two headers": [concat([header(), header()]), "MALFORMED"],
  "another group": [header({ group: "orders" }), "FORBIDDEN"],
  "another history": [header({ previous: OTHER }), "STALE"],
  "another history behind a header that is right": [
    concat([header(), encodeBatch([entry(5n)], OTHER).bytes]),
    "STALE",
  ],
  "another first entry": [header({ first: 6n }), "MALFORMED"],
  "a time that no date can say": [
    concat([header(), batch({ ...entry(5n), time: 8.64e15 + 8 }).bytes]),
    "MALFORMED",
  ],
  "a gap": [concat([header(), batch(entry(6n)).bytes]), "MALFORMED"],
  "an entry twice": [concat([header(), batch(entry(5n), entry(5n)).bytes]), "MALFORMED"],
  "a term that falls": [concat([header(), batch(entry(5n, 1n)).bytes]), "MALFORMED"],
  "a term that falls within a batch": [concat([header(), batch(entry(5n, 4n), entry(6n, 3n)).bytes]), "MALFORMED"],
  "a byte of an entry that changed": [concat([header(), flipped(batch(entry(5n)).bytes, 75)]), "CORRUPT"],
  "a byte of a header that changed": [flipped(header(), 5), "CORRUPT"],
  "a heartbeat with a bit more": [
    concat([header(), flipped(encodeHeartbeat({ last: 9n, term: 3n, time: 1 }), 4)]),
    "CORRUPT",
  ],
  "an end before its last entry": [
    concat([header(), encodeEnd({ last: 9n, digest: PREVIOUS })]),
    "CORRUPT",
  ],
  "an end of another history": [concat([header(), encodeEnd({ last: 4n, digest: OTHER })]), "STALE"],
  "more behind the end": [
    concat([header(), encodeEnd({ last: 4n, digest: PREVIOUS }), batch(entry(5n)).bytes]),
    "MALFORMED",
  ],
  "10^9 bytes announced": [concat([header(), announced(1e9)]), "MALFORMED"],
  "a length without an end": [new Uint8Array(100).fill(0xff), "MALFORMED"],
  "an empty record": [announced(0), "CORRUPT"],
};

for (const [what, [sent, code]] of Object.entries(WRONG)) {
  test(`a log with ${what} is ${code}, and nothing of it is handed on`, () => {
    for (const size of [1, 7, sent.length]) {
      const reader = new LogReader({ first: 5n, previous: PREVIOUS, group: "users", source: SOURCE });
      let error: unknown;
      const taken: unknown[] = [];
      try {
        for (let at = 0; at < sent.length; at += size) {
          for (const record of reader.read(sent.subarray(at, at + size))) {
            if (record.kind === "batch") taken.push(record);
          }
        }
      } catch (failure) {
        error = failure;
      }
      assert.instanceOf(error, SnapshotError);
      const { fields, message } = error as SnapshotError;
      assert.equal((error as SnapshotError).code, code, message);
      assert.equal(fields.source, SOURCE);
      assert.typeOf(fields.index, "bigint");
      assert.include(message, SOURCE);
      assert.equal(taken.length, 0);
    }
  });
}
