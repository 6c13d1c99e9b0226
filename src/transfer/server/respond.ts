/**
 * Answering a `GET` or `HEAD` as RFC 9110 has it: ranges, tags, digests.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat, streamFrom, toBase64, toHex } from "../../stream/mod.ts";
import { Overload, type Place } from "./fair_semaphore.ts";
import { Pace } from "../pace.ts";
import { matchesTag, parseRanges, type Range, total } from "./ranges.ts";
import { JSON_TYPE, problem } from "../wire.ts";

/** The answer to who asks for what is still being received: nothing went wrong here. */
export class NotHereYet extends SnapshotError {
  constructor() {
    super("UNAVAILABLE", "That part of the snapshot has not come here yet");
  }
}

/** Something that can be fetched with `GET`. */
export interface Representation {
  /** Its media type. */
  readonly type: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Its strong tag, in quotes. */
  readonly tag: string;
  /** True if this address always has the same content. */
  readonly immutable: boolean;
  /** More headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The SHA-256 of a range of it, where that is known. */
  readonly digest?: (range: Range) => Uint8Array | undefined;
  /** Reads a range of it. */
  open(range: Range): ReadableStream<Uint8Array> | AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Answers a request for a representation. Nothing is read of its body before somebody wants it.
 *
 * @param request a `GET` or `HEAD`
 * @param representation what is asked for
 */
export function respond(request: Request, representation: Representation): Response {
  const { type, size, tag, immutable, digest } = representation;
  const headers = new Headers({
    "Accept-Ranges": "bytes",
    // Content that is named by its digest can be kept for ever; anything else is to be revalidated, by its tag.
    "Cache-Control": immutable ? "max-age=31536000, immutable" : "no-cache",
    ETag: tag,
    ...representation.headers,
  });
  const ifMatch = request.headers.get("If-Match");
  if (ifMatch !== null && !matchesTag(ifMatch, tag, false)) {
    return problem(new SnapshotError("MALFORMED", `This is not what If-Match asks for, but ${tag}`), 412);
  }
  if (matchesTag(request.headers.get("If-None-Match"), tag)) return new Response(null, { status: 304, headers });
  const ifRange = request.headers.get("If-Range");
  const ranges = request.method === "GET" && (ifRange === null || ifRange === tag)
    ? parseRanges(request.headers.get("Range"), size)
    : undefined;
  if (ranges === "unsatisfiable") {
    // None of the other headers: they are of the content, and a cache must not keep this answer in its place.
    const message = `None of the ranges begins within the ${size} bytes`;
    return problem(new SnapshotError("MALFORMED", message), 416, { "Content-Range": `bytes */${size}` });
  }
  headers.set("Content-Type", type);
  if (ranges !== undefined && ranges.length > 1) return multipart(representation, ranges, headers);
  const [range = { start: 0, end: size }] = ranges ?? [];
  headers.set("Content-Length", String(range.end - range.start));
  if (ranges !== undefined) headers.set("Content-Range", contentRange(range, size));
  const known = digest?.(range);
  if (known !== undefined) headers.set("Content-Digest", `sha-256=:${toBase64(known)}:`);
  if (request.method === "HEAD") return new Response(null, { status: 200, headers });
  const body = range.start < range.end ? streamOf(representation.open(range)) : null;
  return new Response(body as BodyInit | null, { status: ranges === undefined ? 200 : 206, headers });
}

/** Several ranges in one answer (RFC 9110 §14.6). */
function multipart(representation: Representation, ranges: readonly Range[], headers: Headers): Response {
  const { type, size } = representation;
  const boundary = toHex(crypto.getRandomValues(new Uint8Array(16)));
  const encode = (text: string) => new TextEncoder().encode(text);
  const head = (range: Range) =>
    encode(`\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`);
  const tail = encode(`\r\n--${boundary}--\r\n`);
  const overhead = concat([...ranges.map(head), tail]).length;
  headers.set("Content-Type", `multipart/byteranges; boundary=${boundary}`);
  headers.set("Content-Length", String(overhead + total(ranges)));
  const opened = ranges.map((range) => ({ range, body: representation.open(range) })); // missing parts are reported now
  async function* parts(): AsyncGenerator<Uint8Array, void, undefined> {
    for (const { range, body } of opened) {
      yield head(range);
      yield* body;
    }
    yield tail;
  }
  return new Response(streamOf(parts()) as BodyInit, { status: 206, headers });
}

function contentRange({ start, end }: Range, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}

function streamOf(source: ReturnType<Representation["open"]>): ReadableStream<Uint8Array> {
  return source instanceof ReadableStream ? source : streamFrom(source);
}

/** A representation of bytes that are all here. */
export function bytesRepresentation(
  bytes: Uint8Array,
  type: string,
  tag: string,
  digest: Uint8Array,
  options: { readonly immutable?: boolean; readonly headers?: Readonly<Record<string, string>> } = {},
): Representation {
  return {
    type,
    size: bytes.length,
    tag,
    immutable: options.immutable ?? false,
    headers: { ...options.headers, "Repr-Digest": `sha-256=:${toBase64(digest)}:` },
    digest: ({ start, end }) => start === 0 && end === bytes.length ? digest : undefined,
    open: ({ start, end }) => streamFrom([bytes.subarray(start, end)]),
  };
}

/**
 * Makes an answer keep something until its body was sent, or is not wanted any more.
 *
 * @param response the answer
 * @param release called once, in the end
 * @param grace how long a client may let it wait in all, in milliseconds, and more for what it takes: see `pace.ts`;
 *   then the body is aborted
 * @param place is told of what was sent, and may end it
 */
export function keeping(
  response: Response,
  release: () => Promise<void>,
  grace: number = Infinity,
  place?: Pick<Place, "moved" | "onEvicted">,
): Response {
  let released: Promise<void> | undefined;
  const end = () => released ??= release().catch(() => {});
  const { body } = response;
  if (body === null) {
    void end();
    return response;
  }
  const source = body.getReader();
  let abort: (error: SnapshotError) => void = () => {};
  const pace = new Pace(grace, () => abort(new SnapshotError("TIMEOUT", "The client reads too slowly, or not at all")));
  let due = 0;
  let isOver = false;
  const kept = new ReadableStream<Uint8Array>({
    start(controller) {
      abort = (error) => {
        isOver = true;
        pace.stop();
        controller.error(error);
        source.cancel(error).catch(() => {});
        void end();
      };
      if (place !== undefined) place.onEvicted = () => abort(new Overload(503));
      pace.wait();
    },
    async pull(controller) {
      pace.moved(due);
      place?.moved(due);
      due = 0;
      try {
        const { done, value } = await source.read();
        if (isOver) return; // a piece that was being read comes after that
        if (!done) {
          controller.enqueue(value);
          due = value.length;
          return pace.wait(due);
        }
        await end();
        controller.close();
      } catch (error) {
        await end();
        throw error;
      }
    },
    async cancel(reason) {
      isOver = true;
      pace.stop();
      await source.cancel(reason).catch(() => {});
      await end();
    },
  }, { highWaterMark: 0 });
  return new Response(kept as BodyInit, response);
}

/** An answer of this moment: no cache keeps it, and its length is known, so that its place is free at once. */
export function jsonNow(value: unknown): Response {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const headers = { "Content-Type": JSON_TYPE, "Content-Length": String(bytes.length), "Cache-Control": "no-store" };
  return new Response(bytes as BodyInit, { headers });
}
