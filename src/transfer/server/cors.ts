/**
 * Letting pages of other origins use a handler (Fetch standard, CORS).
 *
 * @module
 */

/**
 * The origins whose pages may use a handler: any, or these.
 *
 * @category Transfer
 * @see {@linkcode snapshotHandler}
 */
export type CorsOrigins = "*" | readonly string[];

/** The headers of an answer that scripts may read, beside those that they always may. */
const EXPOSED =
  "Accept-Ranges, Content-Digest, Content-Range, ETag, Link, Location, Log-First, Repr-Digest, Retry-After, " +
  "Upload-Complete, Upload-Length, Upload-Offset";

/**
 * Adds the headers that a page needs to see an answer.
 *
 * @param request the request
 * @param response the answer
 * @param origins the origins that may
 */
export function withCors(request: Request, response: Response, origins: CorsOrigins): Response {
  const headers = new Headers(response.headers);
  if (origins !== "*") headers.append("Vary", "Origin");
  const origin = request.headers.get("Origin");
  if (origin !== null && (origins === "*" || origins.includes(origin))) {
    headers.set("Access-Control-Allow-Origin", origins === "*" ? "*" : origin);
    headers.set("Access-Control-Expose-Headers", EXPOSED);
  }
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** Reports whether a browser asks if a page may make a request. It does so without the page's credentials. */
export function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" && headers.has("Origin") && headers.has("Access-Control-Request-Method");
}

/** The answer to a preflight: any request may be made, and is then authorized as every other. */
export function preflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST",
      "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers") ?? "",
      "Access-Control-Max-Age": "86400",
    },
  });
}
