// The checks and digests of other systems, against the values that their specifications give.

import { crc32c, crc64 } from "../../src/format/bytes/crc.ts";
import { portableHash, runningHash } from "../../src/format/bytes/hash.ts";
import { toHex } from "../../src/stream/mod.ts";
import { assert, noise, test } from "../support/harness.ts";

const DIGITS = new TextEncoder().encode("123456789");

test("formats, checks: the check values of their specifications", () => {
  const values = [crc64("xz"), crc64("jones"), crc32c()].map((crc) => {
    crc.update(DIGITS);
    return crc.value.toString(16);
  });
  assert.deepEqual(values, ["995dc9bbdf1939fa", "e9c6d914c4b8d9ca", "e3069283"]);
});

test("formats, checks: in pieces of any length it is the same as at once", () => {
  const bytes = noise(300_000, 7); // more than the blocks that are taken in at once
  const make = [
    () => crc64("xz"),
    () => crc64("jones"),
    () => crc32c(),
  ];
  for (const crc of make) {
    const [whole, parts] = [crc(), crc()];
    whole.update(bytes);
    for (let at = 0, length = 0; at < bytes.length; at += length) {
      length = at % 19 + 1;
      parts.update(bytes.subarray(at, at + length));
    }
    assert.strictEqual(parts.value, whole.value);
  }
});

test("formats, checks: digests that are computed here are those of the runtime", async () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const bytes = noise(length, length + 1);
    const portable = portableHash("sha256");
    portable.update(bytes.subarray(0, length >> 1));
    portable.update(bytes.subarray(length >> 1));
    assert.strictEqual(toHex(portable.digest()), toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
    const [ours, theirs] = [portableHash("md5"), runningHash("md5")];
    for (const hash of [ours, theirs]) hash.update(bytes);
    assert.strictEqual(toHex(ours.digest()), toHex(theirs.digest()));
  }
  const md5 = portableHash("md5");
  md5.update(new TextEncoder().encode("message digest"));
  assert.strictEqual(toHex(md5.digest()), "f96b697d7cb7938d525a2f31aaf161d0");
});
