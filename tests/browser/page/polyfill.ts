// What the tests use and Chromium lacks: `ReadableStream.from`; and that reading a body fails with what its stream fails
// with, and not with "Failed to fetch".

import { streamFrom } from "../../../src/stream/from.ts";

(ReadableStream as { from?: unknown }).from ??= streamFrom;

Response.prototype.bytes = async function (): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of this.body ?? []) parts.push(part);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
};
Response.prototype.arrayBuffer = async function (): Promise<ArrayBuffer> {
  return (await this.bytes()).buffer;
};
