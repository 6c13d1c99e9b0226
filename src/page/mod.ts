/**
 * The page of a server of snapshots, as a part of its handler.
 *
 * @module
 */

import { has, unfit } from "../checks.ts";
import { ASSETS } from "./gen/assets.ts";

/** Nothing is loaded from elsewhere, nothing is sent elsewhere, and no other page can have it in a frame. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The paths, and what is there. */
const PAGES: Readonly<Record<string, readonly [asset: keyof typeof ASSETS, type: string]>> = {
  "/": ["html", "text/html; charset=utf-8"],
  "/page/app.js": ["js", "text/javascript; charset=utf-8"],
  "/page/app.css": ["css", "text/css; charset=utf-8"],
  "/page/icon.svg": ["icon", "image/svg+xml"],
};

/**
 * A page that shows what a {@linkcode snapshotHandler} has and does, for its option `page`: the snapshots with their
 * chunks and files, how much each shares with the one before, what is being sent and received, a replica's indices and
 * counts; and that verifies a snapshot in the browser. It is at `/`, and asks its own server only, under the handler's
 * `authorize`: answer 401 with `WWW-Authenticate: Basic` there, and a browser asks for a password.
 *
 * @param request a request that is not for a snapshot
 * @returns the answer; nothing if there is none
 * @throws {SnapshotError} `MALFORMED` if it is no request
 *
 * @example
 * ```ts
 * import { MemoryStorage, snapshotHandler } from "@snapstream/snapstream";
 * import { page } from "@snapstream/snapstream/page";
 *
 * const handler = snapshotHandler(new MemoryStorage(), { page });
 * const response = await handler(new Request("http://localhost/"));
 * console.assert(response.headers.get("Content-Type") === "text/html; charset=utf-8");
 * await handler.close();
 * ```
 */
export function page(request: Request): Response | undefined {
  if (!has(request, "clone", "function")) throw unfit("request", "a Request", request);
  const { pathname } = new URL(request.url, "http://localhost");
  const found = Object.hasOwn(PAGES, pathname) ? PAGES[pathname] : undefined;
  if (found === undefined) return undefined;
  const headers: Record<string, string> = { Allow: "GET, HEAD" };
  if (request.method !== "GET" && request.method !== "HEAD") return new Response(null, { status: 405, headers });
  const [name, type] = found;
  const { text, tag } = ASSETS[name];
  Object.assign(headers, {
    "Content-Type": type,
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    ETag: tag,
  });
  delete headers["Allow"];
  if (request.headers.get("If-None-Match") === tag) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : text, { headers });
}
