// Stand-in for @std/crypto/timing-safe-equal, on `node:crypto`. See "links" in deno.json.
import { timingSafeEqual as equal } from "node:crypto";

export function timingSafeEqual(
  a: ArrayBufferView | ArrayBufferLike | DataView,
  b: ArrayBufferView | ArrayBufferLike | DataView,
): boolean {
  return a.byteLength === b.byteLength && equal(bytesOf(a), bytesOf(b));
}

function bytesOf(data: ArrayBufferView | ArrayBufferLike): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
