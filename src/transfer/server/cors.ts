/**
 * Letting pages of other origins use a handler (Fetch standard, CORS).
 *
 * @module
 */

/** Which origins may: any, or these. */
export type CorsOrigins = "*" | readonly string[];

/** What scripts may read of an answer, beside what they always may. */
const EXPOSED =
  "Accept-Ranges, Content-Digest, Content-Range, ETag, Link, Location, Repr-Digest, Retry-After, Upload-Complete, " +
  "Upload-Length, Upload-Offset";

/**
 * Adds what a page needs to see an answer.
 *
 * @param request what was asked
 * @param response what is answered
 * @param origins which may
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

/** Whether a browser asks if a page may ask something. It does so without the page's credentials. */
export function isPreflight({ method, headers }: Request): boolean {
  return method === "OPTIONS" && headers.has("Origin") && headers.has("Access-Control-Request-Method");
}

/** The answer to a preflight: whatever is asked may be asked, and is then gated as everything is. */
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
