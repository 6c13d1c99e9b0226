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
  /** Carries out `PUT` and `POST`. Without one, `PUT` puts an archive into the storage, and `POST` is answered with 501. */
  readonly target?: SnapshotTarget;
  /** Refuses what is sent and is not signed by somebody who is trusted. */
  readonly verifier?: SnapshotVerifier;
  /**
   * How long a snapshot is kept after the last request of a download, in milliseconds.
   *
   * @default {60000}
   */
  readonly leaseDuration?: number;
  /** Holds all that is sent to a rate. */
  readonly throttle?: Throttle;
  /** Holds all that is received to a rate. */
  readonly receiveThrottle?: Throttle;
  /**
   * How many requests that move content are served at a time. The others wait, in turn with other clients'; too many,
   * or too long, and they are answered with 429 or 503 and `Retry-After`.
   *
   * @default {32}
   */
  readonly maxTransfers?: number;
  /**
   * How long a client may read nothing of what it is sent, or send nothing of what it has to, in milliseconds. Then the
   * transfer is given up, since others wait for its place.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * Who asks, for being fair. By default what the server says of the connection (`serve` and `Deno.serve` say the
   * address), and where it says nothing the `Authorization` header.
   */
  readonly client?: (request: Request, connection: unknown) => string;
  /** Other servers that have the same snapshots, or are fetching them; named to whoever asks for a manifest. */
  readonly sources?: () => readonly (string | URL)[];
  /** Whose pages may use it: `"*"`, or a list of origins. By default none. */
  readonly cors?: CorsOrigins;
  /** Told of errors that are the server's own, of which the client is not told more than that. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Answers requests for snapshots. To be closed, so that leases end. */
export interface SnapshotHandler {
  /**
   * Answers a request. Never rejects.
   *
   * @param request what is asked
   * @param connection what the server knows of the connection: see {@linkcode SnapshotHandlerOptions.client}
   */
  (request: Request, connection?: unknown): Promise<Response>;
  /** Ends all leases; requests that are running go on. */
  close(): Promise<void>;
}

/**
 * Serves the snapshots of a storage. A function from `Request` to `Response`, which runs as it is in `Deno.serve`,
 * `Bun.serve`, workerd and service workers.
 *
 * | request | answer |
 * |---|---|
 * | `GET /snapshots` | the list, newest first (JSON) |
 * | `GET /snapshots/{which}` | one of the list; `Upload-Offset`, `Upload-Length` and `Upload-Complete` say how much of it is here |
 * | `GET /snapshots/{which}/manifest` | protobuf, or JSON by `Accept`; strong `ETag` = snapshot digest; `Link` names further sources |
 * | `GET /snapshots/{which}/files/{name}` | a file |
 * | `GET /snapshots/{which}/content` | all files, one behind the other in the order of the manifest |
 * | `GET /snapshots/{which}/held` | which chunks of that are here: a bit each, the lowest first; and behind that, if it is being received, which are here or on their way |
 * | `GET /snapshots/{which}/archive` | one stream with all of it |
 * | `PUT /snapshots/{index}` | installs an archive: 201; 409 stale or busy; 422 damaged |
 * | `PUT /snapshots/{index}/manifest` | offers a snapshot: which chunks need not be in the archive, as `held` has them |
 * | `POST /snapshots[?gap=N]` | takes one now, if 1024 (or `gap`) entries were applied since: 201, or 200 with the old one |
 * | `POST /snapshots/notification` | says that the log before an index is gone: see {@linkcode notifyInstall} |
 *
 * `{which}` is an index, a digest in hexadecimal, or `latest`. By its digest a snapshot can also be got that is being
 * received, as far as it has come; and what is got by a digest never changes (`Cache-Control: immutable`). Every `GET` can
 * be a `HEAD`, has a strong `ETag`, and knows `If-None-Match`, `Range` (one or several) and `If-Range`; `Repr-Digest` and
 * `Content-Digest` (RFC 9530) are there where the SHA-256 is known. Errors are problem documents (RFC 9457) with a
 * member `code`.
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
  readonly #gate: FairSemaphore;
  readonly #downloads: Downloads;
  readonly #uploads: Uploads;

  constructor(storage: SnapshotStorage, leases: DownloadLeases, options: SnapshotHandlerOptions) {
    this.#options = options;
    this.#gate = new FairSemaphore(options.maxTransfers ?? 32);
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

  /** Answers when there is room, and keeps it until the answer was sent. */
  async #moving(request: Request, connection: unknown, answer: () => Promise<Response>): Promise<Response> {
    const { client = clientOf, throttle, stallTimeout = STALL_TIMEOUT } = this.#options;
    const leave = await this.#gate.enter(client(request, connection));
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
 * Whether a snapshot is not given, or not taken, for what it is: of another group, not signed. The disk's is another.
 */
function isRefusal(error: unknown): boolean {
  return hasCode(error, "FORBIDDEN") && error.index !== undefined;
}

/** Says that what was sent is not read. Not if it was, by `authorize` for one, or is no more to be had. */
async function discard(request: Request): Promise<void> {
  if (!request.bodyUsed) await request.body?.cancel().catch(() => {});
}

/** Some servers build the address from a `Host` that is none, or leave it away. */
function urlOf({ url }: Request): URL {
  try {
    return new URL(url, "http://localhost");
  } catch (error) {
    throw new SnapshotError("MALFORMED", "The request has no right address", { cause: error });
  }
}

/** What the server says of the connection: the address, mostly. */
function clientOf(request: Request, connection: unknown): string {
  const { client, remoteAddr } = (connection ?? {}) as { client?: unknown; remoteAddr?: { hostname?: unknown } };
  const said = client ?? remoteAddr?.hostname;
  return typeof said === "string" ? said : request.headers.get("Authorization") ?? "";
}

type Method = "GET" | "PUT" | "POST";

/** Calls what a method stands for. `HEAD` is `GET` without the body. */
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
