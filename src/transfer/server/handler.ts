/**
 * Serving snapshots over HTTP.
 *
 * @module
 */

import { unfit } from "../../checks.ts";
import { checkStorage, type SnapshotStorage } from "../../snapshot/mod.ts";
import { withCors } from "./cors.ts";
import { DownloadLeases } from "./download_leases.ts";
import { checkHandlerOptions, type SnapshotHandlerOptions } from "./options.ts";
import { Routes } from "./routes.ts";
import { problem } from "../wire.ts";

/**
 * Answers requests for snapshots. To be closed, so that leases end.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 */
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
 * | `GET /snapshots/status` | what is here, received, sent, and what the target says of itself (JSON) |
 * | `GET /snapshots/{which}` | one of the list; its part that is here: see below |
 * | `GET /snapshots/{which}/manifest` | protobuf, or JSON by `Accept`; `ETag` is the snapshot digest |
 * | `GET /snapshots/{which}/files/{name}` | a file |
 * | `GET /snapshots/{which}/content` | all files, one behind the other in the order of the manifest: see below |
 * | `GET /snapshots/{which}/held` | the chunks that are here: see below |
 * | `GET /snapshots/{which}/archive` | one stream with all of it |
 * | `PUT /snapshots/{index}` | installs an archive: 201; 200, `upToDate`; 409 busy, or about to be newer; 422 damaged |
 * | `GET /snapshots/{index}/install` | how an install ended that was answered with 202: see below |
 * | `PUT /snapshots/{index}/manifest` | offers a snapshot: the chunks that need not be sent, as in `held` |
 * | `POST /snapshots[?gap=N]` | takes one, or joins a save, if `creationGap` or `gap` entries came: 201; 200: the old |
 * | `POST /snapshots/notification` | says that the log before an index is gone: see {@linkcode notifyInstall} |
 *
 * `{which}` is an index, a digest in hexadecimal, or `latest`. By its digest, a snapshot that is being received can be
 * fetched, too, as far as it has come; and content that is fetched by a digest never changes (`Cache-Control:
 * immutable`). `Upload-Offset`, `Upload-Length` and `Upload-Complete` say how much of a snapshot is here; `Link`, of a
 * manifest, names further sources. `held` has a bit for each chunk of the content, the lowest first, set if the chunk
 * is here; and behind these, if the snapshot is being received, as many for the chunks that are here or on their way.
 * Chunks are verified before they are sent, but for `content?verified-by=client`: who asks so verifies each, and asks
 * for one that is wrong without the query.
 * A `PUT` with `Prefer: respond-async` (RFC 7240) is answered with 202 if its install takes long; then
 * `/snapshots/{index}/install` answers 202 while it goes on, as the `PUT` would have been once it has succeeded, and
 * 200 with a problem document if it failed.
 * Every `GET` can be a `HEAD`, has a strong `ETag`, and knows `If-None-Match`, `Range` (one or several) and `If-Range`;
 * `Repr-Digest` and `Content-Digest` (RFC 9530) are there where the SHA-256 is known. Errors are problem documents (RFC
 * 9457) with a member `code`.
 *
 * `PUT` and `POST` want an `authorize`, or `allowWrites`; a `POST` also a `Content-Type` that no form of a page can
 * send (`application/json`), so that no page of another site can make it unasked.
 *
 * @category Transfer
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
  checkHandlerOptions(options);
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
