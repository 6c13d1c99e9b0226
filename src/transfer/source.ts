/**
 * A server to fetch from.
 *
 * @module
 */

import { cancelled, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { type FileInfo, MAX_MANIFEST_BYTES, SnapshotManifest } from "../snapshot/mod.ts";
import { raceAbort } from "../stream/mod.ts";
import { type BodyWatch, readBody, readLimited } from "./body.ts";
import { filePath, fileTag, PROTOBUF_TYPE, responseError } from "./wire.ts";

/** Where a snapshot can be fetched from. */
export interface SourceOptions {
  /** The address below which there is `/snapshots`. */
  readonly url: string | URL;
  /** Sent with each request: `Authorization`, for one. */
  readonly headers?: HeadersInit;
  /** What makes requests; the runtime's `fetch` by default. */
  readonly fetch?: (request: Request) => Promise<Response>;
  /**
   * Whether only chunks are taken from it, and never its word on what a snapshot is. Set it for a server that is not to
   * be trusted: what it sends is verified.
   *
   * @default {false}
   */
  readonly chunksOnly?: boolean;
}

/** What is known of a source, of which perhaps the address only was given. */
export function sourceOptions(source: string | URL | SourceOptions): SourceOptions {
  return typeof source === "string" || source instanceof URL ? { url: source } : source;
}

/** What makes requests to a source. */
export function fetchOf({ fetch: own }: SourceOptions): (request: Request) => Promise<Response> {
  return own ?? ((request) => fetch(request));
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
   * @throws {SnapshotError} `MALFORMED` if the address is none
   */
  constructor(source: string | URL | SourceOptions, timeout: number) {
    const options = sourceOptions(source);
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      throw new SnapshotError("MALFORMED", `${options.url} is no address of a server`, { source: String(options.url) });
    }
    this.url = (url.origin + url.pathname).replace(/\/+$/, "");
    this.chunksOnly = options.chunksOnly ?? false;
    this.#headers = options.headers ?? {};
    this.#fetch = fetchOf(options);
    this.#timeout = timeout;
  }

  /**
   * The manifest of a snapshot.
   *
   * @param index which; the newest if absent
   * @param signal gives it up
   */
  async manifest(index: bigint | undefined, signal: AbortSignal | undefined): Promise<SnapshotManifest> {
    return await this.#exchange(
      `/snapshots/${index ?? "latest"}/manifest`,
      { Accept: PROTOBUF_TYPE },
      signal,
      async (response, watch) => {
        if (response.status !== 200) throw await responseError(response, this.url, watch);
        const manifest = await SnapshotManifest.decode(await readLimited(response, MAX_MANIFEST_BYTES, watch));
        if (index === undefined || manifest.index === index) return manifest;
        throw new SnapshotError("MALFORMED", `${this.url} sent snapshot ${manifest.index}, not ${index}`, {
          source: this.url,
          expected: index,
          actual: manifest.index,
        });
      },
    );
  }

  /**
   * A range of a file.
   *
   * @param manifest the snapshot
   * @param file the file
   * @param start the first byte
   * @param end the byte before which it ends
   * @param signal gives it up
   * @param visit called with each piece, in order; the next comes when it has resolved
   * @throws {SnapshotError} `NOT_FOUND` if the server does not have this snapshot, or not this one
   */
  async range(
    manifest: SnapshotManifest,
    file: FileInfo,
    start: number,
    end: number,
    signal: AbortSignal | undefined,
    visit: (piece: Uint8Array) => Promise<void> | undefined,
  ): Promise<void> {
    const headers = {
      "Accept-Encoding": "identity",
      Range: `bytes=${start}-${end - 1}`,
      "If-Range": fileTag(manifest, file),
    };
    await this.#exchange(filePath(manifest.index, file.name), headers, signal, async (response, watch) => {
      const whole = response.status === 200 && start === 0 && end === file.chunks!.size;
      if (response.status === 200 && !whole) {
        throw new SnapshotError(
          "NOT_FOUND",
          `${this.url} has another ${JSON.stringify(file.name)}, or cannot send ranges`,
          {
            source: this.url,
            file: file.name,
          },
        );
      }
      if (response.status !== 206 && !whole) throw await responseError(response, this.url, watch);
      let left = end - start;
      await readBody(response, async (piece) => {
        left -= piece.length;
        if (left < 0) return false;
        await visit(piece);
      }, watch);
      if (left === 0) return;
      throw new SnapshotError("UNAVAILABLE", `${this.url} sent ${left < 0 ? "more" : "less"} than it was asked for`, {
        source: this.url,
        file: file.name,
      });
    });
  }

  /** A request and its answer, which may not stall. The body is read or cancelled when this settles. */
  async #exchange<T>(
    path: string,
    headers: Record<string, string>,
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
      }, this.#timeout);
    };
    let response: Response | undefined;
    try {
      resume();
      const all = new Headers(this.#headers);
      for (const [name, value] of Object.entries(headers)) all.set(name, value);
      const answer = this.#fetch(new Request(this.url + path, { headers: all, signal: stop.signal }));
      // Whoever makes requests need not know of signals: what comes too late is put away.
      answer.then((late) => stop.signal.aborted ? late.body?.cancel() : undefined).catch(() => {});
      response = await raceAbort(answer, stop.signal);
      return await read(response, { signal: stop.signal, pause, resume });
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
      if (response !== undefined && !response.bodyUsed) await response.body?.cancel().catch(() => {});
    }
  }
}
