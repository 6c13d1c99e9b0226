/**
 * Asking a braft node for the files of a snapshot.
 *
 * @module
 */

import type { Socket } from "node:net";
import { withoutSecret } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { backoff, onAbort, pause } from "../async/mod.ts";
import { MANIFEST_NAME, MAX_MANIFEST_BYTES, SnapshotManifest } from "../snapshot/mod.ts";
import type { Throttle } from "../stream/mod.ts";
import { ExchangeWatch } from "../transfer/mod.ts";
import { CODES, decodePart, decodeSegments, encodeGetFile, type Frame, FrameReader } from "./frames.ts";

/** Bytes that are asked for at a time: as braft's followers do. */
const PART = 128 * 1024;
/** What braft asks for where it wants all of the manifest. */
const ALL = 0xffff_ffffn;
/** Attempts at the same part, of which a success begins anew. */
const ATTEMPTS = 4;
const WAITS = { first: 200, longest: 2000, jitter: [0.5, 1.5] } as const;
/** The longest time for which a node may answer that its rate is used up, in milliseconds. */
const LONGEST_THROTTLED = 10 * 60_000;

/** Where a snapshot is: `remote://HOST:PORT/ID`. */
export interface BraftAddress {
  readonly host: string;
  readonly port: number;
  readonly reader: bigint;
}

/** Reads an address; braft's identifiers are signed. */
export function parseAddress(uri: string): BraftAddress {
  const [, host, port, id] = /^remote:\/\/([^/:]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})\/(-?\d{1,19})$/.exec(uri) ?? [];
  const reader = id === undefined ? undefined : BigInt(id);
  if (reader !== undefined && Number(port) > 0 && Number(port) < 65_536 && BigInt.asIntN(64, reader) === reader) {
    return { host: host!.replace(/^\[|\]$/g, ""), port: Number(port), reader };
  }
  const source = withoutSecret(uri);
  throw new SnapshotError("MALFORMED", `The uri ${JSON.stringify(source)} is not remote://HOST:PORT/ID`, { source });
}

/** A part of a file that came. */
interface Part {
  readonly bytes: Uint8Array;
  readonly eof: boolean;
}

/** A node, and a connection to it, which is made anew when it breaks off. */
export class BraftClient {
  readonly #uri: string;
  readonly #address: BraftAddress;
  readonly #timeout: number;
  readonly #throttle: Throttle | undefined;
  #connection: { readonly socket: Socket; readonly frames: FrameReader } | undefined;
  #correlation = 0n;
  /** The file that the node is in: another is let in only once this was read to its end. */
  #current: { readonly name: string; readonly size: number | undefined } | undefined;

  constructor(uri: string, timeout: number, throttle: Throttle | undefined) {
    this.#uri = uri;
    this.#address = parseAddress(uri);
    this.#timeout = timeout;
    this.#throttle = throttle;
  }

  /** The manifest. */
  async manifest(signal: AbortSignal | undefined): Promise<SnapshotManifest> {
    const { bytes } = await this.#part(MANIFEST_NAME, 0, ALL, MAX_MANIFEST_BYTES, signal);
    return await SnapshotManifest.decode(bytes);
  }

  /**
   * The bytes of a file from `start` to its end, or to `end`; resumed by itself where the connection breaks off.
   *
   * @param name the file
   * @param start where to begin
   * @param end where to end; by default where the node says that the file does
   */
  async *file(
    name: string,
    start: number,
    end: number | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#enter(name, start, signal);
    for (let at = start; end === undefined || at < end;) {
      const wanted = Math.min(PART, (end ?? Infinity) - at);
      await this.#throttle?.take(wanted, signal);
      const { bytes, eof } = await this.#part(name, at, BigInt(wanted), wanted, signal);
      at += bytes.length;
      this.#current = { name, size: eof ? at : undefined };
      if (bytes.length > 0) yield bytes;
      if (!eof) continue;
      if (end !== undefined && at < end) throw this.#short(name, end, at);
      return;
    }
  }

  /** Leaves the file that the node is in, and begins another at its beginning, as braft demands. */
  async #enter(name: string, start: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#current?.name !== name) {
      await this.leave(signal);
      if (start > 0) await this.#part(name, 0, 1n, 1, signal);
      this.#current = { name, size: undefined };
    }
  }

  /** Has the node see the end of the file that it is in, if it was not read so far. */
  async leave(signal: AbortSignal | undefined, size?: number): Promise<void> {
    const { name, size: end } = this.#current ?? { name: "", size: 0 };
    this.#current = undefined;
    if (end === undefined && size !== undefined) await this.#part(name, Math.max(size - 1, 0), 2n, 2, signal);
  }

  #short(name: string, expected: number, actual: number): SnapshotError {
    return new SnapshotError("CORRUPT", `${JSON.stringify(name)} of ${this.#uri} ends at byte ${actual}`, {
      ...{ file: name, expected, actual, source: this.#uri },
    });
  }

  /** One part, with as many attempts as it takes. */
  async #part(
    name: string,
    offset: number,
    count: bigint,
    most: number,
    signal: AbortSignal | undefined,
  ): Promise<Part> {
    const begun = performance.now();
    for (let attempt = 1, throttled = 0;;) {
      try {
        const { code, text, message, attachment, compression } = await this.#ask(name, offset, count, most, signal);
        if (code === 0 && compression === 0) {
          const { eof, size } = decodePart(message);
          const bytes = decodeSegments(attachment, name === MANIFEST_NAME ? 0 : offset, most, size);
          if (bytes.length > 0 || eof) return { bytes, eof };
        } else if (code !== CODES.again) throw this.#refused(name, code, text);
        // It is being throttled, and says so with an error, or with nothing.
        if (performance.now() - begun > LONGEST_THROTTLED) throw this.#refused(name, CODES.again, text);
        await pause(backoff(throttled++, WAITS), signal);
      } catch (error) {
        throwIfCancelled(signal);
        this.#drop();
        if (!hasCode(error, "UNAVAILABLE", "TIMEOUT") || attempt >= ATTEMPTS) throw error;
        await pause(backoff(attempt++ - 1, WAITS, error), signal);
      }
    }
  }

  #refused(name: string, code: number, text: string): SnapshotError {
    const kind = code === CODES.noReader || code === CODES.notListed
      ? "NOT_FOUND"
      : code === CODES.again
      ? "BUSY"
      : code === CODES.io
      ? "UNAVAILABLE"
      : "FORBIDDEN";
    const said = text === "" ? `error ${code}` : text.slice(0, 500);
    return new SnapshotError(kind, `${this.#uri} does not give ${JSON.stringify(name)}: ${said}`, {
      ...{ file: name, source: this.#uri, actual: code },
    });
  }

  async #ask(
    name: string,
    offset: number,
    count: bigint,
    most: number,
    signal: AbortSignal | undefined,
  ): Promise<Frame> {
    const watch = new ExchangeWatch(this.#uri, this.#timeout);
    const unlink = onAbort(signal, (reason) => watch.stop(reason));
    const stop = () => this.#drop();
    watch.signal.addEventListener("abort", stop);
    try {
      watch.resume();
      const { socket, frames } = this.#connection ??= await this.#connect(watch.signal);
      watch.signal.throwIfAborted();
      frames.onBytes = (bytes) => { // they are progress, however many are still to come
        watch.received(bytes);
        watch.resume();
      };
      const correlation = ++this.#correlation;
      socket.write(encodeGetFile(correlation, {
        ...{ reader: this.#address.reader, name, count, offset: BigInt(offset), partly: true },
      }));
      const frame = await frames.next(most + 1024 * 1024);
      if (frame === undefined) throw this.#gone(new Error("the connection was closed"));
      if (frame.correlation !== correlation) throw this.#gone(new Error("the answer is to another request"));
      return frame;
    } catch (error) {
      throwIfCancelled(signal);
      watch.signal.throwIfAborted();
      throw error instanceof SnapshotError && error.code !== "MALFORMED" ? error : this.#gone(error);
    } finally {
      watch.signal.removeEventListener("abort", stop);
      watch.pause();
      unlink();
    }
  }

  #gone(cause: unknown): SnapshotError {
    return new SnapshotError("UNAVAILABLE", `${this.#uri} cannot be read: ${messageOf(cause)}`, {
      ...{ source: this.#uri, cause },
    });
  }

  async #connect(signal: AbortSignal): Promise<{ readonly socket: Socket; readonly frames: FrameReader }> {
    const { connect } = await import("node:net");
    const { host, port } = this.#address;
    const socket = connect({ host, port, noDelay: true });
    const unlink = onAbort(signal, () => socket.destroy(new Error("nobody waits for it any more")));
    try {
      await new Promise<void>((resolve, reject) => socket.once("error", reject).once("connect", resolve));
    } finally {
      unlink();
    }
    socket.on("error", () => {}); // the reading fails with it
    return { socket, frames: new FrameReader(socket) };
  }

  /** Lets go of the connection; the next request makes another. */
  #drop(): void {
    this.#connection?.socket.destroy();
    this.#connection = undefined;
  }

  /** Ends the connection. */
  close(): void {
    this.#drop();
  }
}
