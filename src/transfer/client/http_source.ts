/**
 * A server to fetch from.
 *
 * @module
 */

import { checkBoolean, checkFunction, checkOptions, duration, isOf, required, unfit } from "../../checks.ts";
import { cancelled, hasCode, messageOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { LONGEST_WAIT, raceAbort } from "../../async/mod.ts";
import { ChunkSet, toHex } from "../../stream/mod.ts";
import { type BodyWatch, discardBody, readBody, readLimited } from "../body.ts";
import { type InstallNotification, notificationJson, type NotificationReply, parseReply } from "../notification.ts";
import { JSON_TYPE, PROTOBUF_TYPE, responseError } from "../wire.ts";

/** A server to fetch from: its address, or more about it. */
export type Source = string | URL | SourceOptions;

/** Where a snapshot can be fetched from. */
export interface SourceOptions {
  /** The address below which there is `/snapshots`. */
  readonly url: string | URL;
  /** Sent with each request: `Authorization`, for one. */
  readonly headers?: HeadersInit;
  /**
   * Makes requests; the runtime's `fetch` by default. The place to add to each request a token that is renewed, or a
   * signature.
   */
  readonly fetch?: (request: Request) => Promise<Response>;
  /**
   * True if only chunks are taken from it, and never its word on what a snapshot is. Set it for a server that is not to
   * be trusted: its chunks are verified. (With a verifier no server's word is taken, but only a signature.)
   *
   * @default {false}
   */
  readonly chunksOnly?: boolean;
}

/** Checks a source. */
export function checkSource(value: unknown, what: string): void {
  if (typeof value === "string" || isOf(value, URL)) return void addressOf(value, what);
  checkOptions(value as SourceOptions, {
    url: required(addressOf),
    headers(value, what) {
      try {
        new Headers(value as HeadersInit);
      } catch {
        throw unfit(what, "headers", value);
      }
    },
    fetch: checkFunction,
    chunksOnly: checkBoolean,
  }, what);
}

/** The address of a server. */
function addressOf(value: unknown, what: string): URL {
  const text = typeof value === "string" || isOf(value, URL) ? String(value) : undefined;
  if (text === undefined) throw unfit(what, "the address of a server: a string or a URL", value);
  if (URL.canParse(text) && isHttp(new URL(text))) return new URL(text);
  throw new SnapshotError("MALFORMED", `${what} is no address of a server: ${text}`, { source: text });
}

/** The options of a source, of which perhaps only the address was given. */
export function sourceOptions(source: Source): SourceOptions {
  return typeof source === "string" || source instanceof URL ? { url: source } : source;
}

/** The function that makes requests to a source. */
export function fetchOf({ fetch: own }: SourceOptions): (request: Request) => Promise<Response> {
  return own ?? ((request) => fetch(request));
}

/** The parts of a request, beside its address and the headers of its source. */
export type ExchangeInit = Omit<RequestInit, "signal" | "headers"> & {
  readonly headers?: Record<string, string>;
  readonly duplex?: "half";
};

/** The longest answer to a notification, in bytes. */
const MAX_REPLY = 64 * 1024;
/** The most further sources that are looked at. */
const MAX_FURTHER = 64;

/** The path of a snapshot by its digest, at which there never is another. */
function snapshotPath(manifest: SnapshotManifest): string {
  return `/snapshots/${toHex(manifest.digest)}`;
}

/** Reports whether a server of snapshots can have this address. */
function isHttp({ protocol }: URL): boolean {
  return protocol === "http:" || protocol === "https:";
}

/** The addresses in a `Link` header that are said to have the same content (RFC 6249). */
function duplicates(header: string | null, base: string): URL[] {
  const found: URL[] = [];
  for (const [, address, parameters] of (header ?? "").slice(0, 16_384).matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (found.length === MAX_FURTHER || !/;\s*rel="?duplicate"?/i.test(parameters!)) continue;
    const url = URL.canParse(address!, base) ? new URL(address!, base) : undefined;
    if (url !== undefined && isHttp(url)) found.push(url);
  }
  return found;
}

/** A server, and requests to it. */
export class HttpSource {
  /** Its address, for messages. */
  readonly url: string;
  /** See {@linkcode SourceOptions.chunksOnly}. */
  readonly chunksOnly: boolean;
  readonly #headers: HeadersInit;
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #timeout: number;

  /**
   * @param source the address, or more about it
   * @param timeout how long it may take without sending a byte, in milliseconds
   * @param chunksOnly whether only chunks are taken from it, whatever `source` says
   * @throws {SnapshotError} `MALFORMED` if the address is none
   */
  constructor(source: Source, timeout: number, chunksOnly = false) {
    checkSource(source, "source");
    duration()(timeout, "timeout");
    const options = sourceOptions(source);
    const url = new URL(options.url);
    this.url = (url.origin + url.pathname).replace(/\/+$/, "");
    this.chunksOnly = chunksOnly || (options.chunksOnly ?? false);
    this.#headers = options.headers ?? {};
    this.#fetch = fetchOf(options);
    this.#timeout = timeout;
  }

  /**
   * The manifest of a snapshot, and the further sources that the server names.
   *
   * @param index which; the newest if absent
   * @param signal cancels it
   */
  async manifest(
    index: bigint | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly manifest: SnapshotManifest; readonly further: readonly URL[] }> {
    const path = `/snapshots/${index ?? "latest"}/manifest`;
    return await this.#get(path, { Accept: PROTOBUF_TYPE }, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      const manifest = await SnapshotManifest.decode(await readLimited(response, MAX_MANIFEST_BYTES, watch));
      if (index === undefined || manifest.index === index) {
        return { manifest, further: duplicates(response.headers.get("Link"), this.url) };
      }
      throw new SnapshotError("MALFORMED", `${this.url} sent snapshot ${manifest.index}, not ${index}`, {
        source: this.url,
        expected: index,
        actual: manifest.index,
      });
    });
  }

  /**
   * The chunks of a snapshot that the server has now, and those that it has or has requested elsewhere.
   *
   * @throws {SnapshotError} `NOT_FOUND` if it knows nothing of that snapshot
   */
  async held(
    manifest: SnapshotManifest,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly held: ChunkSet; readonly expected: ChunkSet }> {
    const { count } = manifest.content;
    const size = Math.ceil(count / 8);
    return await this.#get(`${snapshotPath(manifest)}/held`, {}, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      try {
        const bytes = await readLimited(response, 2 * size, watch);
        const held = new ChunkSet(count, bytes.subarray(0, size));
        return { held, expected: bytes.length > size ? new ChunkSet(count, bytes.subarray(size)) : held };
      } catch (error) {
        if (!hasCode(error, "MALFORMED")) throw error;
        throw new SnapshotError("MALFORMED", `${this.url} does not say what it has: ${messageOf(error)}`, {
          source: this.url,
          cause: error,
        });
      }
    });
  }

  /**
   * A range of the content.
   *
   * @param manifest the snapshot
   * @param start the first byte
   * @param end the byte before which it ends
   * @param signal cancels it
   * @param visit called with each piece, in order; the next comes when it has resolved
   * @throws {SnapshotError} `NOT_FOUND` if the server does not have this snapshot
   */
  async content(
    manifest: SnapshotManifest,
    start: number,
    end: number,
    signal: AbortSignal | undefined,
    visit: (piece: Uint8Array) => Promise<void> | undefined,
  ): Promise<void> {
    const headers = { "Accept-Encoding": "identity", Range: `bytes=${start}-${end - 1}` };
    await this.#get(`${snapshotPath(manifest)}/content`, headers, signal, async (response, watch) => {
      const { status } = response;
      const whole = status === 200 && start === 0 && end === manifest.content.size;
      if (status === 200 && !whole) {
        throw new SnapshotError("UNSUPPORTED", `${this.url} cannot send ranges`, { source: this.url });
      }
      if (status !== 206 && !whole) throw await responseError(response, this.url, watch);
      const range = response.headers.get("Content-Range") ?? "";
      if (range !== "" && !range.startsWith(`bytes ${start}-${end - 1}/`)) {
        throw new SnapshotError("UNAVAILABLE", `${this.url} sent another range than was requested`, {
          source: this.url,
          expected: `bytes ${start}-${end - 1}`,
          actual: range.slice(0, 100),
        });
      }
      let left = end - start;
      await readBody(response, async (piece) => {
        left -= piece.length;
        if (left < 0) return false;
        await visit(piece);
      }, watch);
      if (left === 0) return;
      throw new SnapshotError("UNAVAILABLE", `${this.url} sent ${left < 0 ? "more" : "less"} than was requested`, {
        source: this.url,
      });
    });
  }

  /** Says that the log before an index is gone. */
  async notify(notification: InstallNotification, signal: AbortSignal | undefined): Promise<NotificationReply> {
    const body = JSON.stringify(notificationJson(notification));
    const init = { method: "POST", body, headers: { "Content-Type": JSON_TYPE } };
    return await this.exchange("/snapshots/notification", init, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      return parseReply(await readLimited(response, MAX_REPLY, watch));
    });
  }

  #get<T>(
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
    read: (response: Response, watch: BodyWatch) => Promise<T>,
  ): Promise<T> {
    return this.exchange(path, { headers }, signal, read);
  }

  /**
   * Makes a request and reads its answer, which may not stall. The body is read or cancelled when this settles.
   *
   * @param path the path below the source's address
   * @param init the method, headers beside those of the source, and a body; or what makes them, knowing the watch
   * @param signal cancels it
   * @param read reads the answer
   */
  async exchange<T>(
    path: string,
    init: ExchangeInit | ((watch: BodyWatch) => ExchangeInit),
    signal: AbortSignal | undefined,
    read: (response: Response, watch: BodyWatch) => Promise<T>,
  ): Promise<T> {
    throwIfCancelled(signal);
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = () => clearTimeout(timer);
    const resume = () => {
      pause();
      timer = setTimeout(() => {
        stop.abort(
          new SnapshotError("TIMEOUT", `${this.url} sent nothing for ${this.#timeout} ms`, { source: this.url }),
        );
      }, Math.min(this.#timeout, LONGEST_WAIT));
    };
    let response: Response | undefined;
    const watch = { signal: stop.signal, pause, resume };
    try {
      resume();
      const { headers, ...rest } = typeof init === "function" ? init(watch) : init;
      const all = new Headers(this.#headers);
      for (const [name, value] of Object.entries(headers ?? {})) all.set(name, value);
      const answer = this.#fetch(new Request(this.url + path, { ...rest, headers: all, signal: stop.signal }));
      // A custom `fetch` need not know of signals: an answer that comes too late is cancelled.
      answer.then((late) => stop.signal.aborted ? late.body?.cancel() : undefined).catch(() => {});
      response = await raceAbort(answer, stop.signal);
      return await read(response, watch);
    } catch (error) {
      if (signal?.aborted) throw cancelled(signal);
      if (stop.signal.aborted) throw stop.signal.reason;
      if (error instanceof SnapshotError) throw error;
      throw new SnapshotError("UNAVAILABLE", `${this.url} cannot be reached, or broke off: ${messageOf(error)}`, {
        source: this.url,
        cause: error,
      });
    } finally {
      pause();
      signal?.removeEventListener("abort", onAbort);
      if (response !== undefined && !response.bodyUsed) await discardBody(response.body);
    }
  }
}
