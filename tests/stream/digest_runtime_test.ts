// SHA-256, whichever way it is computed.

import { sha256, toHex } from "../../src/stream/mod.ts";
import { assert, noise, test } from "../support/harness.ts";

const BORDER = 32 * 1024;

test("sha256: known answers", async () => {
  const text = (it: string) => sha256(new TextEncoder().encode(it)).then(toHex);
  assert.strictEqual(await text(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.strictEqual(await text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.strictEqual(
    await text("a".repeat(1_000_000)),
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
  );
});

test("sha256: of little and of much it is that of Web Crypto, in bytes of its own", async () => {
  for (const length of [1, 63, 64, 65, 4096, BORDER - 1, BORDER, BORDER + 1, 262_144]) {
    const whole = noise(length + 3, length);
    for (const bytes of [whole, whole.subarray(3)]) {
      const digest = await sha256(bytes);
      const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
      assert.deepEqual(digest, expected);
      assert.strictEqual(digest.constructor, Uint8Array);
      assert.strictEqual(digest.buffer.byteLength, 32); // not a view of what others have too
    }
  }
});

test("sha256: the bytes may be changed at once", async () => {
  for (const length of [100, BORDER, BORDER + 1]) {
    const bytes = noise(length, 1);
    const expected = toHex(await sha256(bytes.slice()));
    const digest = sha256(bytes);
    bytes.fill(0);
    assert.strictEqual(toHex(await digest), expected);
  }
});
