/**
 * Serving snapshots over HTTP.
 *
 * @module
 */

import { able, checkFunction, checkOptions, checkString, duration, integer, listOf, unfit } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { checkStorage, checkVerifier, type SnapshotStorage, type SnapshotVerifier } from "../../snapshot/mod.ts";
import { neverThrowing } from "../../async/mod.ts";
import { checkThrottle, type Throttle, throttled } from "../../stream/mod.ts";
import { type CorsOrigins, isPreflight, preflight, withCors } from "./cors.ts";
import { FairSemaphore, Overload } from "./fair_semaphore.ts";
import { DownloadLeases, type Selector } from "./download_leases.ts";
import { type SnapshotTarget, Uploads } from "./uploads.ts";
import { Downloads } from "./downloads.ts";
import { keeping } from "./respond.ts";
import { problem } from "../wire.ts";

/** Options of {@linkcode snapshotHandler}. */
export interface SnapshotHandlerOptions {
  /**
   * Gates every request: `true` lets it pass; `false` is answered with 403, a response with that response. By default
   * all pass: whoever can reach the handler can then read all state, and replace it.
   */
  readonly authorize?: (request: Request) => boolean | Response | Promise<boolean | Response>;
  /**
   * Carries out `PUT` and `POST`. Without one, `PUT` puts an archive into the storage, and `POST` is answered with 501.
   */
  readonly target?: SnapshotTarget;
  /** Refuses uploads that are not signed by somebody who is trusted. */
  readonly verifier?: SnapshotVerifier;
  /**
   * The time for which a snapshot is kept after the last request of a download, in milliseconds.
   *
   * @default {60000}
   */
  readonly leaseDuration?: number;
  /** Limits the rate of all that is sent. */
  readonly throttle?: Throttle;
  /** Limits the rate of all that is received. */
  readonly receiveThrottle?: Throttle;
  /**
   * The number of requests that move content and are served at a time. The others wait, in turn with other clients'; if
   * they are too many, or wait too long, they are answered with 429 or 503 and `Retry-After`.
   *
   * @default {32}
   */
  readonly maxTransfers?: number;
  /**
   * The longest time for which a client may read nothing that it is sent, or send nothing that it has to, in
   * milliseconds. Then the transfer is aborted, since others wait for its place.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * Names the client, for fairness. By default this is what the server says of the connection (`serve` and `Deno.serve`
   * say the address), and where it says nothing the `Authorization` header.
   */
  readonly client?: (request: Request, connection: unknown) => string;
  /**
   * Other servers that have the same snapshots, or are fetching them; named in the answer to a request for a manifest.
   */
  readonly sources?: () => readonly (string | URL)[];
  /** The origins whose pages may use it: `"*"`, or a list. By default none. */
  readonly cors?: CorsOrigins;
  /** Told of the server's own errors, of which the client is told nothing more. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Answers requests for snapshots. To be closed, so that leases end. */
export interface SnapshotHandler {
  /**
   * Answers a request. Never rejects.
   *
   * @param request the request
   * @param connection what the server knows of the connection: see {@linkcode SnapshotHandlerOptions.client}
   */
  (request: Request, connection?: unknown): Promise<Response>;
  /** Ends all leases; running requests continue. */
  close(): Promise<void>;
}

/**
 * Serves the snapshots of a storage. A function from `Request` to `Response`, which runs as it is in `Deno.serve`,
 * `Bun.serve`, workerd and service workers.
 *
 * | request | answer |
 * |---|---|
 * | `GET /snapshots` | the list, newest first (JSON) |
 * | `GET /snapshots/{which}` | one of the list; its part that is here: see below |
 * | `GET /snapshots/{which}/manifest` | protobuf, or JSON by `Accept`; `ETag` is the snapshot digest |
 * | `GET /snapshots/{which}/files/{name}` | a file |
 * | `GET /snapshots/{which}/content` | all files, one behind the other in the order of the manifest |
 * | `GET /snapshots/{which}/held` | the chunks that are here: see below |
 * | `GET /snapshots/{which}/archive` | one stream with all of it |
 * | `PUT /snapshots/{index}` | installs an archive: 201; 409 stale or busy; 422 damaged |
 * | `PUT /snapshots/{index}/manifest` | offers a snapshot: the chunks that need not be sent, as in `held` |
 * | `POST /snapshots[?gap=N]` | takes one if 1024 (or `gap`) entries were applied since: 201; or 200, the old one |
 * | `POST /snapshots/notification` | says that the log before an index is gone: see {@linkcode notifyInstall} |
 *
 * `{which}` is an index, a digest in hexadecimal, or `latest`. By its digest, a snapshot that is being received can be
 * fetched, too, as far as it has come; and content that is fetched by a digest never changes (`Cache-Control:
 * immutable`). `Upload-Offset`, `Upload-Length` and `Upload-Complete` say how much of a snapshot is here; `Link`, of a
 * manifest, names further sources. `held` has a bit for each chunk of the content, the lowest first, set if the chunk
 * is here; and behind these, if the snapshot is being received, as many for the chunks that are here or on their way.
 * Every `GET` can be a `HEAD`, has a strong `ETag`, and knows `If-None-Match`, `Range` (one or several) and `If-Range`;
 * `Repr-Digest` and `Content-Digest` (RFC 9530) are there where the SHA-256 is known. Errors are problem documents (RFC
 * 9457) with a member `code`.
 *
 * @param storage has the snapshots
 * @param options see {@linkcode SnapshotHandlerOptions}
 *
 * @example
 * ```ts
 * import { MemoryStorage, snapshotHandler } from "@snapstream/snapstream";
 *
 * const handler = snapshotHandler(new MemoryStorage(), {
 *   authorize: (request) => request.headers.get("Authorization") === "Bearer secret",
 * });
 * const response = await handler(new Request("http://localhost/snapshots"));
 * console.assert(response.status === 403);
 * await handler.close();
 * ```
 */
export function snapshotHandler(storage: SnapshotStorage, options: SnapshotHandlerOptions = {}): SnapshotHandler {
  checkStorage(storage, "storage");
  checkOptions(options, {
    authorize: checkFunction,
    target: able("a SnapshotTarget", "snapshot", "install"),
    verifier: checkVerifier,
    leaseDuration: duration(),
    throttle: checkThrottle,
    receiveThrottle: checkThrottle,
    maxTransfers: integer(1),
    stallTimeout: duration(),
    client: checkFunction,
    sources: checkFunction,
    cors: (value, what) => value === "*" || listOf(checkString)(value, what),
    onError: checkFunction,
  });
  const leases = new DownloadLeases(storage, options.leaseDuration ?? 60_000);
  const routes = new Routes(storage, leases, options);
  const { cors } = options;
  const handler = async (request: Request, connection?: unknown): Promise<Response> => {
    if (typeof request?.url !== "string" || typeof request.headers?.get !== "function") {
      return problem(unfit("request", "a Request", request));
    }
    const response = await routes.answerAllowed(request, connection);
    return cors === undefined ? response : withCors(request, response, cors);
  };
  return Object.assign(handler, { close: () => leases.close() });
}

/** See {@linkcode SnapshotHandlerOptions.stallTimeout}. */
const STALL_TIMEOUT = 60_000;

class Routes {
  readonly #options: SnapshotHandlerOptions;
  readonly #semaphore: FairSemaphore;
  readonly #downloads: Downloads;
  readonly #uploads: Uploads;

  constructor(storage: SnapshotStorage, leases: DownloadLeases, options: SnapshotHandlerOptions) {
    this.#options = options;
    this.#semaphore = new FairSemaphore(options.maxTransfers ?? 32);
    this.#downloads = new Downloads(storage, leases, options.sources ?? (() => []));
    this.#uploads = new Uploads(storage, { ...options, stallTimeout: options.stallTimeout ?? STALL_TIMEOUT });
  }

  async answerAllowed(request: Request, connection: unknown): Promise<Response> {
    const { authorize, cors, onError } = this.#options;
    try {
      if (cors !== undefined && isPreflight(request)) return preflight(request);
      const allowed = await (authorize?.(request) ?? true);
      if (allowed === true) return await this.#answer(request, connection);
      await discard(request);
      return allowed || problem(new SnapshotError("FORBIDDEN", "This request is not allowed"), 403);
    } catch (error) {
      await discard(request);
      if (error instanceof Overload) return problem(error, error.status, { "Retry-After": String(error.seconds) });
      const response = isRefusal(error) ? problem(error, 403) : problem(error);
      if (response.status >= 500 && onError !== undefined) neverThrowing(onError)(error, request);
      return response;
    }
  }

  async #answer(request: Request, connection: unknown): Promise<Response> {
    const { pathname, searchParams } = urlOf(request);
    const [, root, which, what, ...rest] = pathname.split("/");
    if (root !== "snapshots") return notFound(pathname);
    if (which === undefined || which === "") {
      return await byMethod(request, {
        GET: () => this.#downloads.list(request),
        POST: () => this.#uploads.take(searchParams.get("gap")),
      });
    }
    if (which === "notification" && what === undefined) {
      return await byMethod(request, { POST: () => this.#uploads.notify(request) });
    }
    const selector = selectorOf(which);
    const { index } = selector;
    const moving = (answer: () => Promise<Response>) => () => this.#moving(request, connection, answer);
    const put = (answer: (index: bigint) => Promise<Response>) =>
      index !== undefined && { PUT: moving(() => answer(index)) };
    switch (what) {
      case undefined:
        return await byMethod(request, {
          GET: () => this.#downloads.status(selector, request),
          ...put((index) => this.#uploads.install(index, request)),
        });
      case "manifest":
        if (rest.length > 0) return notFound(pathname);
        return await byMethod(request, {
          GET: () => this.#downloads.manifest(selector, request),
          ...put((index) => this.#uploads.offer(index, request)),
        });
      case "held":
        if (rest.length > 0) return notFound(pathname);
        return await byMethod(request, { GET: () => this.#downloads.held(selector, request) });
      case "content":
        if (rest.length > 0) return notFound(pathname);
        return await byMethod(request, { GET: moving(() => this.#downloads.content(selector, request)) });
      case "archive":
        if (rest.length > 0) return notFound(pathname);
        return await byMethod(request, { GET: moving(() => this.#downloads.archive(selector, request)) });
      case "files":
        if (rest.length === 0) return notFound(pathname);
        return await byMethod(request, {
          GET: moving(() => this.#downloads.file(selector, decodeName(rest), request)),
        });
      default:
        return notFound(pathname);
    }
  }

  /** Answers when there is room, and keeps the room until the answer was sent. */
  async #moving(request: Request, connection: unknown, answer: () => Promise<Response>): Promise<Response> {
    const { client = clientOf, throttle, stallTimeout = STALL_TIMEOUT } = this.#options;
    const leave = await this.#semaphore.enter(client(request, connection));
    try {
      const response = await answer();
      const { body } = response;
      const release = async () => leave();
      if (body === null || throttle === undefined) return keeping(response, release, stallTimeout);
      const throttledBody = body.pipeThrough(throttled(throttle));
      return keeping(new Response(throttledBody as BodyInit, response), release, stallTimeout);
    } catch (error) {
      leave();
      throw error;
    }
  }
}

/**
 * Reports whether a snapshot is refused for what it is: of another group, or not signed. A disk's error has no index.
 */
function isRefusal(error: unknown): boolean {
  return hasCode(error, "FORBIDDEN") && error.index !== undefined;
}

/** Cancels the body of a request, unless it was read, by `authorize` for one, or is no more to be had. */
async function discard(request: Request): Promise<void> {
  if (!request.bodyUsed) await request.body?.cancel().catch(() => {});
}

/** Parses the address, which some servers build from a `Host` that is none, or without one. */
function urlOf({ url }: Request): URL {
  try {
    return new URL(url, "http://localhost");
  } catch (error) {
    throw new SnapshotError("MALFORMED", "The request has no right address", { cause: error });
  }
}

/** The client, as the server's description of the connection names it: by its address, mostly. */
function clientOf(request: Request, connection: unknown): string {
  const { client, remoteAddr } = (connection ?? {}) as { client?: unknown; remoteAddr?: { hostname?: unknown } };
  const said = client ?? remoteAddr?.hostname;
  return typeof said === "string" ? said : request.headers.get("Authorization") ?? "";
}

type Method = "GET" | "PUT" | "POST";

/** Calls the answer for a method. `HEAD` is `GET` without the body. */
async function byMethod(
  request: Request,
  answers: { readonly [M in Method]?: () => Promise<Response> },
): Promise<Response> {
  const { method } = request;
  const name = method === "HEAD" ? "GET" : method;
  if (Object.hasOwn(answers, name)) return await answers[name as Method]!(); // a method may be called "constructor"
  await discard(request);
  const names = Object.keys(answers).flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]);
  const headers = { Allow: [...names, "OPTIONS"].join(", ") };
  if (method === "OPTIONS") return new Response(null, { status: 204, headers });
  return problem(
    new SnapshotError("UNSUPPORTED", `${method} is not possible here, but ${names.join(", ")}`),
    405,
    headers,
  );
}

function selectorOf(text: string): Selector {
  if (text === "latest") return {};
  if (/^[0-9a-f]{64}$/.test(text)) return { digest: text };
  if (/^[1-9][0-9]{0,18}$/.test(text)) return { index: BigInt(text) };
  throw new SnapshotError("NOT_FOUND", `${JSON.stringify(text.slice(0, 100))} is no index or digest of a snapshot`);
}

function decodeName(parts: readonly string[]): string {
  try {
    return parts.map(decodeURIComponent).join("/");
  } catch (error) {
    throw new SnapshotError("MALFORMED", "The name of the file is not percent-encoded UTF-8", { cause: error });
  }
}

function notFound(path: string): Response {
  return problem(new SnapshotError("NOT_FOUND", `There is nothing at ${JSON.stringify(path.slice(0, 200))}`));
}
