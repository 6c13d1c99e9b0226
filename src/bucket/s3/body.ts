/**
 * The body of an object that S3 answers with.
 *
 * @module
 */

import type { SnapshotError } from "../../errors.ts";
import type { Pieces } from "../bodies.ts";

/** The range of the object that an answer has. */
export interface AnsweredRange {
  /** The size of the object. */
  readonly size: number;
  /** The first byte that it has. */
  readonly start: number;
  /** The byte after the last. */
  readonly end: number;
}

/**
 * Reads from the headers of an answer which bytes of the object it has.
 *
 * @returns nothing if they make no sense
 */
export function answeredRange({ status, headers }: Response): AnsweredRange | undefined {
  // A body that is decoded on the way has another length than the headers say.
  if (!/^(identity|aws-chunked)?$/.test(headers.get("Content-Encoding") ?? "")) return undefined;
  if (status === 206) {
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("Content-Range") ?? "");
    if (match === null) return undefined;
    const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
    return start <= last && last < size && Number.isSafeInteger(size) ? { size, start, end: last + 1 } : undefined;
  }
  const length = headers.get("Content-Length") ?? "";
  if (!/^\d+$/.test(length) || !Number.isSafeInteger(Number(length))) return undefined;
  return { size: Number(length), start: 0, end: Number(length) };
}

/** The requested bytes of an answer, which may have more at either end. */
export class S3Pieces implements Pieces {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #broken: (error: unknown) => SnapshotError;
  /** Bytes to be skipped still. */
  #before: number;
  /** Bytes to come. */
  #wanted: number;

  /**
   * @param response the answer
   * @param before how many bytes at its beginning are not wanted
   * @param wanted how many of the next are
   * @param broken the error for a connection that breaks
   */
  constructor(response: Response, before: number, wanted: number, broken: (error: unknown) => SnapshotError) {
    this.#reader = response.body?.getReader();
    this.#before = before;
    this.#wanted = wanted;
    this.#broken = broken;
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#wanted > 0) {
      let piece: Uint8Array | undefined;
      try {
        piece = (await this.#reader?.read())?.value;
      } catch (error) {
        throw this.#broken(error);
      }
      if (piece === undefined) throw this.#broken(new Error(`The last ${this.#wanted} bytes are missing`));
      const skipped = Math.min(this.#before, piece.length);
      const wanted = piece.subarray(skipped, skipped + this.#wanted);
      this.#before -= skipped;
      this.#wanted -= wanted.length;
      if (wanted.length > 0) return wanted;
    }
    return undefined;
  }

  async close(): Promise<void> {
    void this.#reader?.cancel().catch(() => {}); // not awaited: a connection that hangs may never answer
  }
}
