/**
 * The wire of braft's `FileService`: frames of `baidu_std`, which brpc speaks by default.
 *
 * ```text
 * frame      = "PRPC", body length u32be, meta length u32be, RpcMeta, message, attachment
 * RpcMeta    = { 1: request { 1: service, 2: method }, 2: response { 1: error code, 2: error text },
 *                3: compression, 4: correlation, 5: length of the attachment }
 * get_file   = { 1: reader, 2: file name, 3: count, 4: offset, 5: read partly } → { 1: eof, 2: read size }
 * attachment = segments of { offset u64be, length u32be, bytes }; what is between them are zeros
 * ```
 *
 * @module
 */

import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { messageOf, SnapshotError } from "../errors.ts";
import { concat } from "../stream/mod.ts";

const MAGIC = 0x5052_5043; // "PRPC"
const HEAD = 12;
const SEGMENT = 12;

/** The errors that brpc and braft have numbers for. */
export const CODES = { notListed: 1, noReader: 2, io: 5, again: 11, noService: 1001, noMethod: 1002, request: 1003 };

/** What a frame has. */
export interface Frame {
  /** Whose answer it is. */
  readonly correlation: bigint;
  /** The service and the method, of a request. */
  readonly service: string;
  readonly method: string;
  /** The error, of an answer; 0 for none. */
  readonly code: number;
  readonly text: string;
  /** The compression of the message; 0 for none. */
  readonly compression: number;
  readonly message: Uint8Array;
  readonly attachment: Uint8Array;
}

/** A part of a file that is asked for. */
export interface GetFile {
  readonly reader: bigint;
  readonly name: string;
  readonly count: bigint;
  readonly offset: bigint;
  /** Fewer bytes may be given, where a throttle wants it. */
  readonly partly: boolean;
}

/** What is said of a part of a file. */
export interface Part {
  readonly eof: boolean;
  /** Bytes that were read. */
  readonly size: number | undefined;
}

function malformed(message: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `What came is no frame of braft's: ${message}`, { cause });
}

/** Calls back with each field of a message that has this wire type; others are passed over. */
function fields(bytes: Uint8Array, one: (number: number, reader: BinaryReader, type: number) => boolean): void {
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (!one(number, reader, type)) reader.skip(type, number);
    }
  } catch (error) {
    throw malformed(messageOf(error), error);
  }
}

const [VARINT, BYTES] = [0, 2];

function encodeFrame(meta: BinaryWriter, message: Uint8Array, attachment: readonly Uint8Array[]): Uint8Array {
  const length = attachment.reduce((sum, { length }) => sum + length, 0);
  if (length > 0) meta.tag(5, VARINT).int32(length);
  const head = meta.finish();
  const start = new Uint8Array(HEAD);
  const view = new DataView(start.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, head.length + message.length + length);
  view.setUint32(8, head.length);
  return concat([start, head, message, ...attachment]);
}

/** A request for a part of a file. */
export function encodeGetFile(correlation: bigint, { reader, name, count, offset, partly }: GetFile): Uint8Array {
  const call = new BinaryWriter().tag(1, BYTES).string("braft.FileService").tag(2, BYTES).string("get_file").finish();
  const meta = new BinaryWriter().tag(1, BYTES).bytes(call).tag(4, VARINT).int64(correlation);
  const message = new BinaryWriter().tag(1, VARINT).int64(reader).tag(2, BYTES).string(name).tag(3, VARINT).int64(count)
    .tag(4, VARINT).int64(offset).tag(5, VARINT).bool(partly).finish();
  return encodeFrame(meta, message, []);
}

/** A part of a file, as an answer. */
export function encodePart(
  correlation: bigint,
  offset: bigint,
  eof: boolean,
  pieces: readonly Uint8Array[],
): Uint8Array {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  const meta = new BinaryWriter().tag(2, BYTES).bytes(new BinaryWriter().tag(1, VARINT).int32(0).finish())
    .tag(4, VARINT).int64(correlation);
  const message = new BinaryWriter().tag(1, VARINT).bool(eof).tag(2, VARINT).int64(size).finish();
  if (size === 0) return encodeFrame(meta, message, []);
  const head = new Uint8Array(SEGMENT);
  const view = new DataView(head.buffer);
  view.setBigUint64(0, offset);
  view.setUint32(8, size);
  return encodeFrame(meta, message, [head, ...pieces]);
}

/** An error, as an answer. */
export function encodeError(correlation: bigint, code: number, text: string): Uint8Array {
  const response = new BinaryWriter().tag(1, VARINT).int32(code).tag(2, BYTES).string(text).finish();
  return encodeFrame(
    new BinaryWriter().tag(2, BYTES).bytes(response).tag(4, VARINT).int64(correlation),
    new Uint8Array(0),
    [],
  );
}

function decodeFrame(meta: Uint8Array, rest: Uint8Array): Frame {
  let [correlation, service, method, code, text, compression, length] = [0n, "", "", 0, "", 0, 0];
  fields(meta, (number, reader, type) => {
    if (number === 1 && type === BYTES) {
      fields(reader.bytes(), (number, reader, type) => {
        if (number === 1 && type === BYTES) service = reader.string();
        else if (number === 2 && type === BYTES) method = reader.string();
        else return false;
        return true;
      });
    } else if (number === 2 && type === BYTES) {
      fields(reader.bytes(), (number, reader, type) => {
        if (number === 1 && type === VARINT) code = reader.int32();
        else if (number === 2 && type === BYTES) text = reader.string();
        else return false;
        return true;
      });
    } else if (number === 3 && type === VARINT) compression = reader.int32();
    else if (number === 4 && type === VARINT) correlation = BigInt(reader.int64());
    else if (number === 5 && type === VARINT) length = reader.int32();
    else return false;
    return true;
  });
  if (length < 0 || length > rest.length) throw malformed(`an attachment of ${length} bytes in ${rest.length}`);
  const at = rest.length - length;
  const [message, attachment] = [rest.subarray(0, at), rest.subarray(at)];
  return { correlation, service, method, code, text, compression, message, attachment };
}

/** Reads what is asked for. */
export function decodeGetFile(message: Uint8Array): GetFile {
  let [reader, name, count, offset, partly] = [0n, "", 0n, 0n, false];
  fields(message, (number, from, type) => {
    if (number === 1 && type === VARINT) reader = BigInt(from.int64());
    else if (number === 2 && type === BYTES) name = from.string();
    else if (number === 3 && type === VARINT) count = BigInt(from.int64());
    else if (number === 4 && type === VARINT) offset = BigInt(from.int64());
    else if (number === 5 && type === VARINT) partly = from.bool();
    else return false;
    return true;
  });
  return { reader, name, count, offset, partly };
}

/** Reads what is said of a part. */
export function decodePart(message: Uint8Array): Part {
  let [eof, size] = [false, undefined as number | undefined];
  fields(message, (number, from, type) => {
    if (number === 1 && type === VARINT) eof = from.bool();
    else if (number === 2 && type === VARINT) size = Number(from.int64());
    else return false;
    return true;
  });
  return { eof, size };
}

/**
 * The bytes of an attachment from `offset` on, with the zeros that were left out.
 *
 * @param attachment segments
 * @param offset where the part begins in the file
 * @param most the most bytes that were asked for
 * @param size the bytes that the answer says to have read; zeros at the end are left out too
 */
export function decodeSegments(
  attachment: Uint8Array,
  offset: number,
  most: number,
  size: number | undefined,
): Uint8Array {
  const view = new DataView(attachment.buffer, attachment.byteOffset, attachment.length);
  const found: { start: number; bytes: Uint8Array }[] = [];
  let end = 0;
  for (let at = 0; at < attachment.length;) {
    if (attachment.length - at < SEGMENT) throw malformed("a segment is cut short");
    const [start, length] = [Number(view.getBigUint64(at)) - offset, view.getUint32(at + 8)];
    at += SEGMENT;
    if (length > attachment.length - at) throw malformed("a segment is cut short");
    if (start < end || start + length > most) throw malformed("a segment is not where it was asked for");
    found.push({ start, bytes: attachment.subarray(at, at + length) });
    [end, at] = [start + length, at + length];
  }
  const length = Math.max(size ?? 0, end);
  if (length > most) throw malformed(`${length} bytes where ${most} were asked for`);
  const [only] = found;
  if (found.length === 1 && only!.start === 0 && only!.bytes.length === length) return only!.bytes;
  const bytes = new Uint8Array(length);
  for (const { start, bytes: segment } of found) bytes.set(segment, start);
  return bytes;
}

/** Cuts frames out of what a connection sends. */
export class FrameReader {
  /** Is told of the bytes that come. */
  onBytes: (bytes: number) => void = () => {};
  readonly #pieces: AsyncIterator<Uint8Array>;
  #bytes: Uint8Array = new Uint8Array(0);

  /** @param pieces what the connection sends */
  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /**
   * The next frame; nothing at the end of the connection.
   *
   * @param most the most bytes that it may have
   * @throws {SnapshotError} `MALFORMED` if it is none, or too long
   */
  async next(most: number): Promise<Frame | undefined> {
    if (!await this.#have(HEAD)) {
      if (this.#bytes.length > 0) throw malformed("the connection ended within one");
      return undefined;
    }
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
    if (view.getUint32(0) !== MAGIC) throw malformed("it does not begin as one");
    const [body, meta] = [view.getUint32(4), view.getUint32(8)];
    if (body > most || meta > body) throw malformed(`it has ${body} bytes, ${meta} of them metadata`);
    if (!await this.#have(HEAD + body)) throw malformed("the connection ended within one");
    const all = this.#bytes.subarray(HEAD, HEAD + body);
    this.#bytes = this.#bytes.subarray(HEAD + body);
    return decodeFrame(all.subarray(0, meta), all.subarray(meta));
  }

  /** Reads until there are so many bytes; false if the connection ends before. */
  async #have(count: number): Promise<boolean> {
    if (this.#bytes.length >= count) return true;
    const parts = [this.#bytes];
    let length = this.#bytes.length;
    while (length < count) {
      const { done, value } = await this.#pieces.next();
      if (done === true) break;
      this.onBytes(value.length);
      parts.push(value);
      length += value.length;
    }
    this.#bytes = concat(parts);
    return length >= count;
  }
}
