/**
 * Fetching many bytes, as they are, by the shortest way that the runtime has.
 *
 * On Node `fetch` passes each piece through several queues, which takes as long as the rest of its work. The dispatcher
 * below it has the connections, the proxy and the certificates that `fetch` has, and gives the same bytes.
 *
 * @module
 */

import { onAbort } from "../async/mod.ts";

/** The bytes of a body that may wait to be read. */
const MOST_WAITING = 256 * 1024;

/** The part of undici's dispatcher that is used. */
interface Dispatcher {
  dispatch(options: DispatchOptions, handler: DispatchHandler): unknown;
}

interface DispatchOptions {
  readonly origin: string;
  readonly path: string;
  readonly method: "GET";
  readonly headers: Readonly<Record<string, string>>;
}

/** What a dispatcher calls. `false` from `onData` stops the connection, until `resume` is called. */
interface DispatchHandler {
  onConnect(abort: (reason: unknown) => void): void;
  onHeaders(status: number, headers: readonly RawText[], resume: () => void, statusText?: string): boolean;
  onData(piece: Uint8Array): boolean;
  onComplete(): void;
  onError(error: unknown): void;
}

/** A name or value of a header: a `Buffer`. */
interface RawText {
  toString(encoding: "latin1"): string;
}

/**
 * As `fetch`, which it is but on Node, for a `GET` of a range, or of bytes that are not to be compressed.
 *
 * @param request any request
 */
export async function fetchBytes(request: Request): Promise<Response> {
  const dispatcher = isPlain(request) ? dispatcherOf(globalThis.fetch) : undefined;
  const response = dispatcher && await dispatched(dispatcher, request);
  // An answer that is compressed all the same is asked for again, by who can decompress it.
  return response ?? await fetch(request);
}

/** Reports whether a request needs nothing of what `fetch` does beyond sending it. */
function isPlain({ method, redirect, headers, url }: Request): boolean {
  if (method !== "GET" || redirect !== "manual" || !/^https?:/.test(url)) return false;
  return headers.has("Range") || headers.get("Accept-Encoding") === "identity";
}

/** The dispatcher below Node's own `fetch`; nothing elsewhere, or if a program has put another in the place of that. */
function dispatcherOf(own: typeof fetch): Dispatcher | undefined {
  const { process, Deno, Bun } = globalThis as {
    process?: { readonly release?: { readonly name?: string } };
    Deno?: unknown;
    Bun?: unknown;
  };
  if (process?.release?.name !== "node" || Deno !== undefined || Bun !== undefined) return undefined;
  if (!Function.prototype.toString.call(own).includes("internal/deps/undici/undici")) return undefined;
  // The name under which undici, also one that was installed, shares it with Node.
  const dispatcher = (globalThis as { [name: symbol]: unknown })[Symbol.for("undici.globalDispatcher.1")];
  return typeof (dispatcher as Dispatcher | undefined)?.dispatch === "function" ? dispatcher as Dispatcher : undefined;
}

/** Sends a request. Returns nothing if it is to be sent by `fetch`: the answer is compressed, or nothing was sent. */
function dispatched(dispatcher: Dispatcher, { url, headers, signal }: Request): Promise<Response | undefined> {
  const { origin, pathname, search } = new URL(url);
  const sent = { accept: "*/*", "user-agent": "node", ...Object.fromEntries(headers) };
  return new Promise<Response | undefined>((resolve, reject) => {
    let abort: (reason: unknown) => void = () => {};
    let resume: () => void = () => {};
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    let unlink = () => {};
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      unlink();
      return isOver = true;
    };
    const fail = (reason: unknown) => {
      if (!end()) return;
      controller?.error(reason);
      reject(reason);
      abort(reason);
    };
    unlink = onAbort(signal, fail);
    if (isOver) return;
    const bodyOf = () =>
      new ReadableStream<Uint8Array>({
        start: (own) => void (controller = own),
        pull: () => resume(),
        cancel(reason) {
          if (end()) abort(reason ?? new DOMException("The body was cancelled", "AbortError"));
        },
      }, { highWaterMark: MOST_WAITING, size: ({ length }) => length });
    const handler: DispatchHandler = {
      onConnect(own) {
        abort = own;
        if (isOver) abort(signal.reason);
      },
      onHeaders(status, raw, own, statusText = "") {
        if (status < 200 || isOver) return true;
        resume = own;
        try {
          const answered = headersOf(raw);
          if ((answered.get("Content-Encoding") ?? "identity") !== "identity") {
            end();
            abort(new Error("The answer is compressed"));
            resolve(undefined);
            return true;
          }
          const body = [204, 205, 304].includes(status) ? null : bodyOf();
          resolve(new Response(body as BodyInit | null, { status, statusText, headers: answered }));
        } catch (error) {
          fail(error); // a status, or a header, that there cannot be
        }
        return true;
      },
      onData(piece) {
        if (isOver || controller === undefined) return true;
        controller.enqueue(piece);
        return controller.desiredSize! > 0;
      },
      onComplete() {
        if (end()) controller?.close();
      },
      onError: (error) => fail(new TypeError("fetch failed", { cause: error })),
    };
    try {
      dispatcher.dispatch({ origin, path: pathname + search, method: "GET", headers: sent }, handler);
    } catch {
      if (end()) resolve(undefined); // a release of undici that is called otherwise
    }
  });
}

function headersOf(raw: readonly RawText[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < raw.length; i += 2) headers.append(raw[i]!.toString("latin1"), raw[i + 1]!.toString("latin1"));
  return headers;
}
