/**
 * Redirects: followed where the caller's requests, and their secrets, may go.
 *
 * @module
 */

import { isHttp } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { withoutSecrets } from "./source.ts";

/** The longest chain of redirects that is followed. */
export const MOST_REDIRECTS = 5;

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** A redirect that may be followed. */
export interface Redirect {
  /** Where to. */
  readonly url: URL;
  /** True if it is the source's own host: the caller's headers go along. */
  readonly isHome: boolean;
}

/** Reports whether an answer is a redirect; a page does not see where to. */
export function isRedirect({ status, type, headers }: Response): boolean {
  return type === "opaqueredirect" || REDIRECTS.includes(status) && headers.has("Location");
}

/**
 * Where a redirect leads, if it may be followed.
 *
 * @param response the redirect
 * @param request the method and address that it answers
 * @param home the address of the source
 * @param allowed further origins
 * @throws {SnapshotError} `FORBIDDEN` if it leads elsewhere, or would make another request of this one
 */
export function redirectOf(
  { status, headers }: Response,
  request: Pick<Request, "method" | "url">,
  home: URL,
  allowed: readonly (string | URL)[],
): Redirect {
  const location = headers.get("Location");
  if (location === null) {
    throw refused(home, status, "elsewhere, which a page cannot see: use the address where it leads");
  }
  const url = URL.canParse(location, request.url) ? new URL(location, request.url) : undefined;
  if (url === undefined || !isHttp(url)) throw refused(home, status, "to what is no address of a server");
  const to = withoutSecrets(url);
  if (status === 303 && request.method !== "GET" && request.method !== "HEAD") {
    throw refused(home, status, `to ${to} for a GET, where ${request.method} was asked for`);
  }
  if (url.username + url.password !== "") throw refused(home, status, `to ${to} with a password, which is not used`);
  const isHome = isSameHost(url, home);
  if (!isHome && !allowed.some((other) => new URL(other).origin === url.origin)) {
    throw refused(home, status, `to another origin, ${to}: use that address, or allow its origin (redirects)`);
  }
  return { url, isHome };
}

/** Reports whether an address is of the source's origin, or of the same host with TLS. */
function isSameHost(url: URL, home: URL): boolean {
  return url.origin === home.origin || url.host === home.host && url.protocol === "https:";
}

function refused(home: URL, status: number, where: string): SnapshotError {
  const source = withoutSecrets(home);
  return new SnapshotError("FORBIDDEN", `${source} redirects (${status || "3xx"}) ${where}`, { source, status });
}
