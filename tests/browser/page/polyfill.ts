// What the tests use and Chromium lacks: `ReadableStream.from`; and that reading a body fails with what its stream fails
// with, and not with "Failed to fetch".

const streams = ReadableStream as { from?: unknown };
streams.from ??= function <T>(source: Iterable<T> | AsyncIterable<T>): ReadableStream<T> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return new ReadableStream<T>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  }, { highWaterMark: 0 });
};

Response.prototype.bytes = async function (): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of this.body ?? []) parts.push(part);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
};
Response.prototype.arrayBuffer = async function (): Promise<ArrayBuffer> {
  return (await this.bytes()).buffer;
};
