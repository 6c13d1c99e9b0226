/**
 * Requests to a server of snapshots.
 *
 * @module
 */

import { checkTimeout, isHttp, limitOf } from "../../checks.ts";
import { cancelled, reasonOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { onAbort, raceAbort } from "../../async/mod.ts";
import { ChunkSet, fetchBytes, toHex } from "../../stream/mod.ts";
import { type BodyWatch, discardBody, readBody } from "../body.ts";
import {
  JSON_TYPE,
  type ListedSnapshot,
  PROTOBUF_TYPE,
  readAnswer,
  responseError,
  typeOf,
  VERIFIED_BY_CLIENT,
} from "../wire.ts";
import { ExchangeWatch } from "./exchange_watch.ts";
import { isRedirect, MOST_REDIRECTS, redirectOf } from "./redirects.ts";
import { checkSource, headersOf, type Source, type SourceOptions, sourceOptions, withoutSecrets } from "./source.ts";

/** The parts of a request, beside its address and the headers of its source. */
export type ExchangeInit = Omit<RequestInit, "signal" | "headers"> & {
  readonly headers?: Record<string, string>;
  readonly duplex?: "half";
};

/** The longest list of snapshots, in bytes. */
const MAX_LIST = 1024 * 1024;
/** The most further sources that are looked at. */
const MAX_FURTHER = 64;

/** The path of a snapshot by its digest, at which there never is another. */
function snapshotPath(manifest: SnapshotManifest): string {
  return `/snapshots/${toHex(manifest.digest)}`;
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

/** An address with the query of its source: `?token=…`, beside what a request asks for. */
function withSearch(url: string, search: string): string {
  return search === "" || !url.includes("?") ? url + search : `${url}&${search.slice(1)}`;
}

/** A server, and requests to it. */
export class HttpSource {
  /** Its address, for messages: without password and query. */
  readonly url: string;
  /** See {@linkcode SourceOptions.chunksOnly}. */
  readonly chunksOnly: boolean;
  /**
   * True once a chunk of it was wrong. From then on it is to verify what it sends, though that is verified here: asked
   * for that chunk again, it finds out whether its snapshot is bad.
   */
  isDoubted = false;
  readonly #home: URL;
  readonly #headers: Headers;
  readonly #options: SourceOptions;
  readonly #timeout: number;
  /** Where it moved to, as a redirect said, and whether the caller's headers may go there. */
  #moved: { readonly base: string; readonly isHome: boolean } | undefined;

  /**
   * @param source the address, or more about it
   * @param timeout how long it may take without sending a byte, in milliseconds
   * @param chunksOnly whether only chunks are taken from it, whatever `source` says
   * @throws {SnapshotError} `MALFORMED` if the address is none
   */
  constructor(source: Source, timeout: number, chunksOnly = false) {
    checkSource(source, "source");
    checkTimeout(timeout, "timeout");
    this.#options = sourceOptions(source);
    this.#home = new URL(this.#options.url);
    this.url = withoutSecrets(this.#home);
    this.chunksOnly = chunksOnly || (this.#options.chunksOnly ?? false);
    this.#headers = headersOf(this.#options);
    this.#timeout = limitOf(timeout);
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
      const decode = (bytes: Uint8Array) => SnapshotManifest.decode(bytes);
      const manifest = await readAnswer(response, this.url, "a manifest", MAX_MANIFEST_BYTES, watch, decode);
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

  /** The snapshots that the server has, newest first. */
  async list(
    signal: AbortSignal | undefined,
  ): Promise<readonly Pick<ListedSnapshot, "index" | "digest" | "createdAt">[]> {
    return await this.#get("/snapshots", { Accept: JSON_TYPE }, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      return await readAnswer(response, this.url, "a list of snapshots", MAX_LIST, watch, (bytes) => {
        const list = JSON.parse(new TextDecoder().decode(bytes)) as readonly ListedSnapshot[];
        return list.map(({ index, digest, createdAt }) => ({
          index: String(BigInt(index)),
          digest: String(digest),
          ...(typeof createdAt === "number" && { createdAt }),
        }));
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
      return await readAnswer(response, this.url, "a set of chunks", 2 * size, watch, (bytes) => {
        const held = new ChunkSet(count, bytes.subarray(0, size));
        return { held, expected: bytes.length > size ? new ChunkSet(count, bytes.subarray(size)) : held };
      });
    });
  }

  /**
   * A range of the content, of which every chunk has to be verified here: unless it is doubted, the server does not.
   *
   * @param manifest the snapshot
   * @param start the first byte
   * @param end the byte before which it ends
   * @param signal cancels it
   * @param visit called with each piece, in order; the next comes when it has resolved, in the same memory
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
    const query = this.isDoubted ? "" : `?${VERIFIED_BY_CLIENT.name}=${VERIFIED_BY_CLIENT.value}`;
    await this.#get(`${snapshotPath(manifest)}/content${query}`, headers, signal, async (response, watch) => {
      const { status } = response;
      const whole = status === 200 && start === 0 && end === manifest.content.size;
      if (status === 200 && !whole) {
        const answered = `${this.url} answered 200 with ${
          typeOf(response) ?? "no Content-Type"
        } to a request for a range`;
        throw new SnapshotError("UNSUPPORTED", `${answered}: it is no server of snapshots, or cannot send ranges`, {
          source: this.url,
          status,
        });
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
      await readBody(
        response,
        async (piece) => {
          left -= piece.length;
          if (left < 0) return false;
          await visit(piece);
        },
        watch,
        true,
      );
      if (left === 0) return;
      const sent = `${this.url} sent ${left < 0 ? "more" : "less"} than was requested`;
      throw new SnapshotError("UNAVAILABLE", `${sent}, with ${typeOf(response) ?? "no Content-Type"}`, {
        source: this.url,
        status,
      });
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
   * Makes a request and reads its answer, which may neither stall nor drip. The body is read or cancelled when this
   * settles.
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
    read: (response: Response, watch: ExchangeWatch) => Promise<T>,
  ): Promise<T> {
    throwIfCancelled(signal);
    const watch = new ExchangeWatch(this.url, this.#timeout);
    const unlink = onAbort(signal, (reason) => watch.stop(reason));
    let response: Response | undefined;
    try {
      watch.resume();
      response = await this.#fetch(path, typeof init === "function" ? init(watch) : init, watch);
      return await read(response, watch);
    } catch (error) {
      if (signal?.aborted) throw cancelled(signal);
      if (watch.signal.aborted) throw watch.signal.reason;
      if (error instanceof SnapshotError) throw error;
      this.#moved = undefined; // the new address may be the one that does not answer
      throw new SnapshotError("UNAVAILABLE", `${this.url} cannot be reached, or broke off: ${reasonOf(error)}`, {
        source: this.url,
        cause: error,
      });
    } finally {
      watch.pause();
      unlink();
      if (response !== undefined && !response.bodyUsed) await discardBody(response.body);
    }
  }

  /** Makes a request, and follows redirects to where it may go. */
  async #fetch(path: string, { headers, ...init }: ExchangeInit, { signal }: BodyWatch): Promise<Response> {
    const { fetch: own = fetchBytes, redirects = [] } = this.#options;
    let { base, isHome } = this.#moved ?? { base: this.url, isHome: true };
    let url = withSearch(base + path, isHome ? this.#home.search : "");
    for (let count = 0; count <= MOST_REDIRECTS; count++) {
      const all = isHome ? new Headers(this.#headers) : new Headers();
      for (const [name, value] of Object.entries(headers ?? {})) all.set(name, value);
      const request = new Request(url, { ...init, headers: all, signal, redirect: "manual" });
      const answer = own(request);
      // A custom `fetch` need not know of signals: an answer that comes too late is cancelled.
      answer.then((late) => signal.aborted ? late.body?.cancel() : undefined).catch(() => {});
      const response = await raceAbort(answer, signal);
      if (!isRedirect(response)) return response;
      await discardBody(response.body);
      const to = redirectOf(response, { method: init.method ?? "GET", url }, this.#home, redirects);
      isHome = to.isHome;
      const shown = withoutSecrets(to.url);
      const [plain = path] = path.split("?", 1);
      base = shown.endsWith(plain) ? shown.slice(0, -plain.length) : "";
      const lasts = init.method !== undefined || response.status === 301 || response.status === 308;
      if (base !== "" && lasts) this.#moved = { base, isHome };
      if (init.body instanceof ReadableStream) {
        throw new SnapshotError(
          "UNAVAILABLE",
          `${this.url} redirects to ${shown}, and what was sent is to be sent again`,
          {
            source: this.url,
            status: response.status,
          },
        );
      }
      url = isHome && to.url.search === "" ? to.url.href + this.#home.search : to.url.href;
    }
    throw new SnapshotError("UNAVAILABLE", `${this.url} redirects more than ${MOST_REDIRECTS} times`, {
      source: this.url,
    });
  }
}
