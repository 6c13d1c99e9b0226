/**
 * The routes of a handler, and the places for their requests.
 *
 * @module
 */

import { limitOf } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import type { LogAnswers } from "../../log/mod.ts";
import type { SnapshotStorage } from "../../snapshot/mod.ts";
import { neverThrowing } from "../../async/mod.ts";
import { throttled } from "../../stream/mod.ts";
import { isPreflight, preflight } from "./cors.ts";
import { FairSemaphore, Overload, type Place } from "./fair_semaphore.ts";
import type { DownloadLeases, Selector } from "./download_leases.ts";
import { bodyOf, refusal, Uploads } from "./uploads.ts";
import { Downloads } from "./downloads.ts";
import type { SnapshotHandlerOptions } from "./options.ts";
import { IncomingBody } from "./incoming.ts";
import { jsonNow, keeping, NotHereYet } from "./respond.ts";
import { statusOfServer, Transfers } from "./status.ts";
import { readLimited } from "../body.ts";
import { isOfService, problem, VERIFIED_BY_CLIENT } from "../wire.ts";

/** See {@linkcode SnapshotHandlerOptions.stallTimeout}. */
const STALL_TIMEOUT = 60_000;

/** Small answers at a time: lists, manifests, and how far an upload is. */
const MAX_LOOKS = 64;
/** Followers of the log at a time. */
const MAX_FOLLOWERS = 256;
/** Uploads, offers and commands at a time. */
const MAX_WRITES = 8;
/** The longest word of a new leader, in bytes. */
const MAX_LEADER = 4096;
/** An answer of so many bytes is sent without anybody waiting for it. */
const SMALL_ANSWER = 64 * 1024;
/** The types of bodies that a form of any page can send without being asked. */
const FORM_TYPES = /^(application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\b|^$/i;

/** What a request costs: small answers, content, changes, and streams that do not end. */
type Cost = "look" | "read" | "write" | "follow";

/** Finds the answer to a request, and a place for it. */
export class Routes {
  readonly #options: SnapshotHandlerOptions;
  readonly #stallTimeout: number;
  /** Reads never take the places of writes, nor large answers those of small ones, nor what goes on for ever any. */
  readonly #places: Readonly<Record<Cost, FairSemaphore>>;
  readonly #downloads: Downloads;
  readonly #uploads: Uploads;
  readonly #storage: SnapshotStorage;
  readonly #transfers = new Transfers();
  readonly #log: LogAnswers | undefined;

  /**
   * @param storage has the snapshots
   * @param leases keep them while they are downloaded
   * @param options see {@linkcode SnapshotHandlerOptions}
   */
  constructor(storage: SnapshotStorage, leases: DownloadLeases, options: SnapshotHandlerOptions) {
    this.#options = options;
    this.#storage = storage;
    this.#stallTimeout = limitOf(options.stallTimeout ?? STALL_TIMEOUT);
    this.#places = {
      read: new FairSemaphore(options.maxTransfers ?? 32),
      look: new FairSemaphore(MAX_LOOKS),
      write: new FairSemaphore(MAX_WRITES),
      follow: new FairSemaphore(MAX_FOLLOWERS),
    };
    this.#log = options.target?.log?.answers();
    this.#downloads = new Downloads(storage, leases, options.sources ?? (() => []));
    const { verifier = storage.verifier } = options;
    this.#uploads = new Uploads(storage, {
      ...options,
      ...(verifier !== undefined && { verifier }),
      stallTimeout: this.#stallTimeout,
    });
  }

  /** Answers a request, if it may be made. */
  async answerAllowed(request: Request, connection: unknown): Promise<Response> {
    const { authorize, cors, onError } = this.#options;
    try {
      if (cors !== undefined && isPreflight(request)) return preflight(request);
      // Only `true` lets it pass: JavaScript's `authorize` may forget to return anything.
      const allowed = authorize === undefined || await authorize(request);
      if (allowed === true) return await this.#answer(request, connection);
      await discard(request);
      if (allowed && allowed.status >= 200) return allowed;
      return problem(new SnapshotError("FORBIDDEN", "This request is not allowed"), 403);
    } catch (error) {
      await discard(request);
      if (error instanceof Overload) return problem(error, error.status, { "Retry-After": String(error.seconds) });
      const response = isRefusal(error) ? problem(error, error.fields.status ?? 403) : problem(error);
      const isOwn = response.status >= 500 && !(error instanceof NotHereYet);
      if (isOwn && onError !== undefined) neverThrowing(onError)(error, request);
      return response;
    }
  }

  async #answer(request: Request, connection: unknown): Promise<Response> {
    const { pathname, searchParams } = urlOf(request);
    const [, root, which, what, ...rest] = pathname.split("/");
    const { client: name } = this.#options;
    const client = name === undefined ? this.#clientOf(request, connection) : name(request, connection);
    if (root === "log" && what === undefined) return await this.#answerLog(request, which, searchParams, client);
    if (root !== "snapshots") return this.#options.page?.(request) ?? notFound();
    type Answer = (place: Place) => Promise<Response>;
    const look = (answer: Answer) => () => this.#placed("look", client, answer);
    const read = (answer: Answer) => () => this.#placed("read", client, answer, pathname);
    const write = (answer: Answer) => async () => {
      this.#checkWrite(request);
      return await this.#placed("write", client, answer);
    };
    if (which === undefined || which === "" && what === undefined) {
      return await byMethod(request, {
        GET: look(() => this.#downloads.list(request)),
        POST: write(() => this.#uploads.take(searchParams.get("gap"))),
      });
    }
    if (which === "notification" && what === undefined) {
      return await byMethod(request, {
        POST: write(async (place) => {
          await this.#checkLeader(request);
          return await this.#uploads.notify(request, place);
        }),
      });
    }
    if (which === "status" && what === undefined) {
      return await byMethod(request, { GET: look(() => this.#status()) });
    }
    const selector = { ...selectorOf(which), client };
    const latest = (answer: Answer) => async (place: Place) => {
      // An event of the target says why it could not; what there is may still be of use.
      if (which === "latest") await this.#options.target?.sendable?.().catch(() => {});
      return await answer(place);
    };
    const { index } = selector;
    const put = (answer: (index: bigint, place: Place) => Promise<Response>) =>
      index !== undefined && { PUT: write((place) => answer(index, place)) };
    if (what !== "files" && rest.length > 0) return notFound();
    switch (what) {
      case undefined:
        return await byMethod(request, {
          GET: look(latest(() => this.#downloads.status(selector, request))),
          ...put((index, place) => this.#uploads.install(index, request, place)),
        });
      case "manifest":
        return await byMethod(request, {
          GET: look(latest(() => this.#downloads.manifest(selector, request))),
          ...put((index, place) => this.#uploads.offer(index, request, place)),
        });
      case "install":
        if (index === undefined) return notFound();
        return await byMethod(request, { GET: look(() => this.#uploads.outcome(index)) });
      case "held":
        return await byMethod(request, { GET: look(() => this.#downloads.held(selector, request)) });
      case "content": {
        const unverified = searchParams.get(VERIFIED_BY_CLIENT.name) === VERIFIED_BY_CLIENT.value;
        return await byMethod(request, { GET: read(() => this.#downloads.content(selector, request, unverified)) });
      }
      case "archive":
        return await byMethod(request, { GET: read(latest(() => this.#downloads.archive(selector, request))) });
      case "files":
        if (rest.length === 0) return notFound();
        return await byMethod(request, {
          GET: read(() => this.#downloads.file(selector, decodeName(rest), request)),
        });
      default:
        return notFound();
    }
  }

  async #answerLog(
    request: Request,
    which: string | undefined,
    query: URLSearchParams,
    client: string,
  ): Promise<Response> {
    const log = this.#log;
    if (log === undefined) throw new SnapshotError("NOT_FOUND", "No log is served here");
    if (which === "leader") {
      return await byMethod(request, {
        POST: async () => {
          this.#checkWrite(request);
          return await this.#placed("write", client, async (place) => {
            await this.#checkLeader(request);
            const body = request.body === null ? undefined : new IncomingBody(request.body, this.#stallTimeout, place);
            try {
              return await log.supersede(await readLimited(bodyOf(body), MAX_LEADER));
            } catch (error) {
              return refusal(error, body);
            }
          });
        },
      });
    }
    if (which !== undefined && which !== "") return notFound();
    const cost = !query.has("from") ? "look" : query.has("wait") ? "follow" : "read";
    return await byMethod(request, {
      GET: () => this.#placed(cost, client, () => log.get(request, this.#allowsWrites)),
    });
  }

  /**
   * The client, as the server's description of the connection names it: by its address, mostly. An `Authorization` that
   * nobody has looked at names nobody: a stranger could send another with each request.
   */
  #clientOf(request: Request, connection: unknown): string {
    const { client, remoteAddr } = (connection ?? {}) as { client?: unknown; remoteAddr?: { hostname?: unknown } };
    const said = client ?? remoteAddr?.hostname;
    if (typeof said === "string") return said;
    return this.#options.authorize === undefined ? "" : request.headers.get("Authorization") ?? "";
  }

  /** True if clients are trusted with more than reading. */
  get #allowsWrites(): boolean {
    const { authorize, allowWrites = authorize !== undefined } = this.#options;
    return allowWrites;
  }

  /** Refuses a write that nobody allowed, or that a page of another site can make without asking. */
  #checkWrite({ method, headers }: Request): void {
    if (!this.#allowsWrites) throw refused("Nothing can be written here", 403);
    if (method === "POST" && FORM_TYPES.test((headers.get("Content-Type") ?? "").trim())) {
      throw refused("A POST has to say Content-Type: application/json, which no form can", 415);
    }
  }

  async #checkLeader(request: Request): Promise<void> {
    const { authorizeLeader } = this.#options;
    if (authorizeLeader === undefined || await authorizeLeader(request) === true) return;
    throw refused("This request is not allowed: it is not the leader's", 403);
  }

  /** Answers when there is room, and keeps the room until the answer was sent. */
  async #placed(
    kind: Cost,
    client: string,
    answer: (place: Place) => Promise<Response>,
    path?: string,
  ) {
    const { throttle } = this.#options;
    const place = await this.#places[kind].enter(client);
    const transfer = path === undefined ? undefined : this.#transfers.begin(path, place);
    try {
      const response = await answer(place);
      transfer?.sized(response);
      const { body } = response;
      const size = Number(response.headers.get("Content-Length") ?? Infinity);
      if (kind === "write" || kind === "look" && size <= SMALL_ANSWER) {
        place.leave(); // it fits into what the system buffers, whether the client reads it or not
        return response;
      }
      const leave = async () => {
        transfer?.end();
        place.leave();
      };
      if (body === null || throttle === undefined || kind === "look") {
        return keeping(response, leave, this.#stallTimeout, place);
      }
      const throttledBody = body.pipeThrough(throttled(throttle));
      return keeping(new Response(throttledBody as BodyInit, response), leave, this.#stallTimeout, place);
    } catch (error) {
      transfer?.end();
      place.leave();
      throw error;
    }
  }

  /** Answers with what is here and what is done. */
  async #status(): Promise<Response> {
    const status = await statusOfServer(this.#storage, this.#transfers, this.#options.target);
    return jsonNow(status);
  }
}

/** The error for what a client may not do. */
function refused(message: string, status: 403 | 415): SnapshotError {
  return new SnapshotError("FORBIDDEN", message, { status });
}

/**
 * Reports whether a request is refused for what it is, or a snapshot: of another group, or not signed. A disk's error
 * has neither index nor status.
 */
function isRefusal(error: unknown): error is SnapshotError {
  return hasCode(error, "FORBIDDEN") && !isOfService(error) &&
    (error.index !== undefined || error.fields.status !== undefined);
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

function notFound(): Response {
  return problem(
    new SnapshotError(
      "NOT_FOUND",
      "There is nothing at this address: all that there is begins with /snapshots or /log, a prefix being taken away " +
        "where the handler is mounted",
    ),
  );
}
