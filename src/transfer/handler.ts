/**
 * Serving snapshots over HTTP.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { archive, type SnapshotInfo, type SnapshotReader, type SnapshotStorage, unarchive } from "../snapshot/mod.ts";
import { type Throttle, throttled } from "../stream/mod.ts";
import { Leases } from "./lease.ts";
import { matchesTag, parseRange } from "./range.ts";
import { BYTES_TYPE, fileTag, listed, manifestJson, manifestTag, problem, PROTOBUF_TYPE, reprDigest } from "./wire.ts";

/** What takes and installs snapshots: a `Replica`, or anything like it. */
export interface SnapshotTarget {
  /** Takes a snapshot. */
  snapshot(options: { gap?: number }): {
    readonly result: Promise<{ readonly taken: boolean; readonly snapshot?: SnapshotInfo }>;
  };
  /** Installs an archive. */
  install(
    archive: ReadableStream<Uint8Array>,
    options: { index?: bigint },
  ): { readonly result: Promise<SnapshotInfo> };
}

/** Options of {@linkcode snapshotHandler}. */
export interface SnapshotHandlerOptions {
  /**
   * Gates every request: `true` lets it pass; `false` is answered with 403, a response with that response. By default
   * all pass: whoever can reach the handler can then read all state, and replace it.
   */
  readonly authorize?: (request: Request) => boolean | Response | Promise<boolean | Response>;
  /** Carries out `PUT` and `POST`. Without one, `PUT` puts an archive into the storage, and `POST` is answered with 501. */
  readonly target?: SnapshotTarget;
  /**
   * How long a snapshot is kept after the last request of a download, in milliseconds.
   *
   * @default {60000}
   */
  readonly leaseDuration?: number;
  /** Holds all that is sent to a rate. */
  readonly throttle?: Throttle;
  /** Told of errors that are the server's own, of which the client is not told more than that. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Answers requests for snapshots. To be closed, so that leases end. */
export interface SnapshotHandler {
  /** Answers a request. Never rejects. */
  (request: Request): Promise<Response>;
  /** Ends all leases; requests that are running go on. */
  close(): Promise<void>;
}

/** How many entries must have been applied since the last snapshot, for `POST` to take one (Ratis: `creation.gap`). */
const CREATION_GAP = 1024;

/**
 * Serves the snapshots of a storage. A function from `Request` to `Response`, which runs as it is in `Deno.serve`,
 * `Bun.serve`, workerd and service workers.
 *
 * | request | answer |
 * |---|---|
 * | `GET /snapshots` | the list, newest first (JSON) |
 * | `GET /snapshots/{index or latest}/manifest` | protobuf, or JSON by `Accept`; strong `ETag` = snapshot digest |
 * | `GET, HEAD /snapshots/{index}/files/{name}` | bytes; `Range`, `If-Range`, `ETag`, `Repr-Digest` |
 * | `GET /snapshots/{index}/archive` | one stream |
 * | `PUT /snapshots/{index}` | installs an archive: 201; 409 stale or busy; 422 damaged |
 * | `POST /snapshots[?gap=N]` | takes one now, if 1024 (or `gap`) entries were applied since: 201, or 200 with the old one |
 *
 * Errors are problem documents (RFC 9457) with a member `code`.
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
  const leases = new Leases(storage, options.leaseDuration ?? 60_000);
  const routes = new Routes(storage, leases, options);
  const handler = async (request: Request): Promise<Response> => {
    try {
      const allowed = await (options.authorize?.(request) ?? true);
      if (allowed !== true) {
        await request.body?.cancel();
        return allowed || problem(new SnapshotError("FORBIDDEN", "This request is not allowed"), 403);
      }
      return await routes.answer(request);
    } catch (error) {
      const response = problem(error);
      if (response.status >= 500) options.onError?.(error, request);
      return response;
    }
  };
  return Object.assign(handler, { close: () => leases.close() });
}

class Routes {
  readonly #storage: SnapshotStorage;
  readonly #leases: Leases;
  readonly #options: SnapshotHandlerOptions;

  constructor(storage: SnapshotStorage, leases: Leases, options: SnapshotHandlerOptions) {
    this.#storage = storage;
    this.#leases = leases;
    this.#options = options;
  }

  async answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [, root, which, what, ...rest] = pathname.split("/");
    if (root !== "snapshots") return notFound(pathname);
    if (which === undefined || which === "") {
      return await byMethod(request, {
        GET: async () => Response.json((await this.#storage.list()).map(listed)),
        POST: () => this.#take(searchParams.get("gap")),
      });
    }
    const index = which === "latest" ? undefined : indexOf(which);
    if (what === undefined) {
      if (index === undefined) return notFound(pathname);
      return await byMethod(request, { PUT: () => this.#install(index, request) });
    }
    if (what === "manifest" && rest.length === 0) {
      return await byMethod(request, { GET: () => this.#manifest(index, request) });
    }
    if (what === "archive" && rest.length === 0) {
      return await byMethod(request, { GET: () => this.#archive(index) });
    }
    if (what === "files" && rest.length > 0) {
      return await byMethod(request, { GET: () => this.#file(index, decodeName(rest), request) });
    }
    return notFound(pathname);
  }

  async #manifest(index: bigint | undefined, request: Request): Promise<Response> {
    const manifest = await this.#leases.renew(index);
    const json = wantsJson(request.headers.get("Accept"));
    const headers = { ETag: manifestTag(manifest, json), Vary: "Accept" };
    if (matchesTag(request.headers.get("If-None-Match"), headers.ETag)) {
      return new Response(null, { status: 304, headers });
    }
    if (json) return Response.json(manifestJson(manifest), { headers });
    return new Response(manifest.bytes as Uint8Array<ArrayBuffer>, {
      headers: { ...headers, "Content-Type": PROTOBUF_TYPE },
    });
  }

  async #file(index: bigint | undefined, name: string, request: Request): Promise<Response> {
    const manifest = await this.#leases.renew(index);
    const info = manifest.file(name);
    const reader = await this.#storage.open(manifest.index);
    try {
      const size = info.chunks?.size ?? await reader.size(name);
      const tag = fileTag(manifest, info);
      const digest = reprDigest(info);
      const headers = new Headers({
        "Accept-Ranges": "bytes",
        "Content-Type": BYTES_TYPE,
        ETag: tag,
        ...(digest !== undefined && { "Repr-Digest": digest }),
      });
      if (matchesTag(request.headers.get("If-None-Match"), tag)) return await closing(reader, 304, headers);
      const ifRange = request.headers.get("If-Range");
      const range = request.method === "GET" && (ifRange === null || ifRange === tag)
        ? parseRange(request.headers.get("Range"), size)
        : undefined;
      if (range === "unsatisfiable") {
        headers.set("Content-Range", `bytes */${size}`);
        headers.delete("Content-Type");
        return await closing(reader, 416, headers);
      }
      const { start, end } = range ?? { start: 0, end: size };
      headers.set("Content-Length", String(end - start));
      if (range !== undefined) headers.set("Content-Range", `bytes ${start}-${end - 1}/${size}`);
      if (request.method === "HEAD") return await closing(reader, 200, headers);
      const body = this.#sent(reader.file(name, { start, end }), reader);
      return new Response(body, { status: range === undefined ? 200 : 206, headers });
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  async #archive(index: bigint | undefined): Promise<Response> {
    const manifest = await this.#leases.renew(index);
    const reader = await this.#storage.open(manifest.index);
    const headers = {
      "Content-Type": BYTES_TYPE,
      "Content-Disposition": `attachment; filename="snapshot-${manifest.index}.snapstream"`,
    };
    return new Response(this.#sent(archive(reader), reader), { headers });
  }

  async #install(index: bigint, request: Request): Promise<Response> {
    if (request.body === null) throw new SnapshotError("MALFORMED", "The request has no archive in its body");
    const { target } = this.#options;
    // Without the request's signal: a client that goes is seen by its body, and on Deno the signal fires in any case.
    const options = { index };
    try {
      const work = target === undefined
        ? unarchive(request.body, this.#storage, options)
        : target.install(request.body, options);
      const snapshot = await work.result;
      return Response.json(listed(snapshot), { status: 201, headers: { Location: `/snapshots/${index}/manifest` } });
    } catch (error) {
      const damaged = error instanceof SnapshotError && ["CORRUPT", "MALFORMED", "UNSUPPORTED"].includes(error.code);
      if (damaged) return problem(error, 422);
      throw error;
    } finally {
      // Whoever refused it may not have read it; the connection cannot be used again before that.
      if (!request.body.locked) await request.body.cancel().catch(() => {});
    }
  }

  async #take(gap: string | null): Promise<Response> {
    const { target } = this.#options;
    if (target === undefined) throw new SnapshotError("UNSUPPORTED", "Nothing takes snapshots here");
    if (gap !== null && !/^[0-9]{1,15}$/.test(gap)) {
      throw new SnapshotError("MALFORMED", `A gap is a number, not ${gap}`);
    }
    const { taken, snapshot } = await target.snapshot({ gap: gap === null ? CREATION_GAP : Number(gap) })
      .result;
    if (snapshot === undefined) {
      throw new SnapshotError("NOT_FOUND", "There is no snapshot, and too little to take one");
    }
    return Response.json(listed(snapshot), { status: taken ? 201 : 200 });
  }

  /** A body that keeps its snapshot open until it was sent, or is not wanted any more. */
  #sent(content: ReadableStream<Uint8Array>, reader: SnapshotReader): ReadableStream<Uint8Array> {
    const { throttle } = this.#options;
    const source = (throttle === undefined ? content : content.pipeThrough(throttled(throttle))).getReader();
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { done, value } = await source.read();
          if (!done) return controller.enqueue(value);
          await reader.close();
          controller.close();
        } catch (error) {
          await reader.close();
          throw error;
        }
      },
      async cancel(reason) {
        await source.cancel(reason).catch(() => {});
        await reader.close();
      },
    }, { highWaterMark: 0 });
  }
}

type Method = "GET" | "PUT" | "POST";

/** Calls what a method stands for. `HEAD` is `GET` without the body, which what sends large ones sees to itself. */
async function byMethod(
  request: Request,
  answers: { readonly [M in Method]?: () => Promise<Response> },
): Promise<Response> {
  const { method } = request;
  const answer = answers[(method === "HEAD" ? "GET" : method) as Method];
  if (answer === undefined) {
    await request.body?.cancel();
    const allow = Object.keys(answers).flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]).join(", ");
    return problem(new SnapshotError("UNSUPPORTED", `${method} is not possible here, but ${allow}`), 405, {
      Allow: allow,
    });
  }
  const response = await answer();
  if (method !== "HEAD" || response.body === null) return response;
  await response.body.cancel();
  return new Response(null, response);
}

function indexOf(text: string): bigint {
  if (/^[1-9][0-9]{0,18}$/.test(text)) return BigInt(text);
  throw new SnapshotError("NOT_FOUND", `${JSON.stringify(text.slice(0, 100))} is no index of a snapshot`);
}

function decodeName(parts: readonly string[]): string {
  try {
    return parts.map(decodeURIComponent).join("/");
  } catch (error) {
    throw new SnapshotError("MALFORMED", "The name of the file is not percent-encoded UTF-8", { cause: error });
  }
}

function wantsJson(accept: string | null): boolean {
  return accept !== null && /\bapplication\/json\b/.test(accept) && !accept.includes(PROTOBUF_TYPE);
}

async function closing(reader: SnapshotReader, status: number, headers: Headers): Promise<Response> {
  await reader.close();
  return new Response(null, { status, headers });
}

function notFound(path: string): Response {
  return problem(new SnapshotError("NOT_FOUND", `There is nothing at ${path.slice(0, 200)}`));
}
