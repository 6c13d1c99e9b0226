// Makes writing to OPFS what it is in Safari: all of the buffer is written that a view is of.

interface Writable {
  write(data: unknown): Promise<void>;
}

const { prototype } = (globalThis as unknown as { FileSystemWritableFileStream: { prototype: Writable } })
  .FileSystemWritableFileStream;
const { write } = prototype;
prototype.write = function (data) {
  return write.call(this, ArrayBuffer.isView(data) ? data.buffer : data);
};
