// SHA-256 at once, of few bytes and of many, in one part and in several.

import { sha256Now } from "../../src/stream/mod.ts";
import { assert, noise, test } from "../support/harness.ts";

test("sha256Now: of any length, in any parts, it is that of Web Crypto, in bytes of its own", async () => {
  const lengths = [...Array(200).keys(), 255, 256, 383, 384, 385, 4095, 4096, 4097, 100_000];
  for (const length of lengths) {
    const whole = noise(length + 1, length + 1).subarray(1);
    const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", whole as Uint8Array<ArrayBuffer>));
    for (const cut of [0, 32, Math.floor(length / 2), length]) {
      const digest = sha256Now(whole.subarray(0, cut), whole.subarray(cut));
      const [before, copy] = [sha256Now(whole), digest.slice()];
      sha256Now(whole.subarray(1), whole); // what others hash then does not change it
      for (const found of [digest, before, copy]) assert.deepEqual(found, expected, `${length} bytes, cut at ${cut}`);
      assert.strictEqual(digest.constructor, Uint8Array);
      assert.strictEqual(digest.buffer.byteLength, 32); // not a view of what others have too
    }
  }
});
