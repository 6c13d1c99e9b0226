// Mirrors that say they have a snapshot, and are no good.

import type { SourceOptions } from "../../mod.ts";
import type { Random } from "../support/random.ts";

type Answer = (request: Request, archive: Uint8Array) => Response | Promise<Response>;

/** A body that begins, and then does not go on until nobody wants it any more. */
function stalling(bytes: Uint8Array, request: Request): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      request.signal.addEventListener("abort", () => controller.error(request.signal.reason), { once: true });
    },
  });
  return new Response(body);
}

/** How a mirror is no good. */
const KINDS: readonly Answer[] = [
  () => Promise.reject(new TypeError("connection refused")),
  () => new Response("<html>Sign in</html>", { headers: { "Content-Type": "text/html" } }),
  () => new Response(null, { status: 404 }),
  () => new Response(null, { status: 503, headers: { "Retry-After": "86400" } }),
  () => new Response(null, { status: 307, headers: { Location: "http://169.254.169.254/latest/meta-data" } }),
  (request) => Response.redirect(request.url, 302),
  (_request, archive) => new Response(archive as BodyInit),
  (request) => stalling(new Uint8Array(0), request),
  (request) => stalling(Uint8Array.of(0, 0, 1), request),
  (request) =>
    new Promise((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason), { once: true });
    }),
];

/** Some of them. */
export function mirrors(random: Random, archive: Uint8Array): SourceOptions[] {
  return Array.from({ length: 1 + random.below(3) }, (_, i) => {
    const kind = random.pick(KINDS);
    return { url: `http://mirror-${i}`, fetch: async (request) => await kind(request, archive) };
  });
}
