import { ByteBuffer } from "../../src/stream/mod.ts";
import { assert, noise, test } from "../support/harness.ts";

test("ByteBuffer: a peer that may send much, and sends little, has little memory kept for it", () => {
  const buffer = new ByteBuffer(64 * 2 ** 20);
  assert.isAtMost(buffer.bytes.buffer.byteLength, 64);
  buffer.add(Uint8Array.of(1));
  assert.isAtMost(buffer.bytes.buffer.byteLength, 64);
});

test("ByteBuffer: pieces of any size are what they were", () => {
  const bytes = noise(10_000, 1);
  for (const size of [1, 3, 100, 9999, 10_000]) {
    const buffer = new ByteBuffer(bytes.length);
    for (let at = 0; at < bytes.length; at += size) {
      buffer.add(new Uint8Array(0));
      buffer.add(bytes.subarray(at, at + size));
    }
    assert.deepEqual(buffer.bytes, bytes);
    assert.equal(buffer.bytes.buffer.byteLength, bytes.length, "no more than the limit");
  }
});
