// The checks and digests of other systems, against the values that their specifications give.

import { crc32c, crc64 } from "../../src/format/bytes/crc.ts";
import { portableHash, runningHash } from "../../src/format/bytes/hash.ts";
import { xxh3 } from "../../src/format/bytes/xxh3.ts";
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

test("formats, checks: XXH3 of each kind of length is what xxHash 0.8 makes of it", () => {
  const bytes = Uint8Array.from({ length: 100_003 }, (_, i) => Math.imul(i, i) + Math.floor(i / 251));
  const values = {
    ...{ 0: "2d06800538d394c2", 1: "c44bdff4074eecdb", 3: "37892f624f40b19c", 4: "5206b2e6b553fe7e" },
    ...{ 8: "bcfe131fa6cb6952", 9: "95a8b7572f430fef", 16: "f36d1380fc3d25fd", 17: "06660d2e9bd360e6" },
    ...{ 128: "bd894df5d76d65e1", 129: "7d623bc70b997b42", 240: "21771fe5d37d93a6", 241: "5f2350ac407e387b" },
    ...{ 1024: "68678130cff071c1", 1025: "48ea91ebb6bc4eea", 4097: "3ca9bd1e2d2eaa65", 100_003: "fa8b27abeb85afc3" },
  };
  for (const [length, value] of Object.entries(values)) {
    assert.strictEqual(xxh3(bytes.subarray(0, Number(length))).toString(16).padStart(16, "0"), value, length);
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
