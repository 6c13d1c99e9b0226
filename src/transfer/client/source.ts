/**
 * A server to fetch from: its address, and what is sent to it.
 *
 * @module
 */

import {
  checkAddress,
  checkBoolean,
  checkFunction,
  checkOptions,
  isOf,
  listOf,
  required,
  unfit,
} from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { toBase64 } from "../../stream/mod.ts";

/**
 * A server to fetch from: its address, or more about it.
 *
 * @category Transfer
 * @see {@linkcode openRemote}
 */
export type Source = string | URL | SourceOptions;

/**
 * Where a snapshot can be fetched from.
 *
 * @category Transfer
 * @see {@linkcode openRemote}
 */
export interface SourceOptions {
  /**
   * The address below which there is `/snapshots`. A user and password in it are sent as `Authorization`, and its query
   * (`?token=…`) with each request; neither appears in a message.
   */
  readonly url: string | URL;
  /** Sent with each request: `Authorization`, for one. They go to the address's own host only: see `redirects`. */
  readonly headers?: NonNullable<ConstructorParameters<typeof Headers>[0]>;
  /**
   * Makes requests; the runtime's `fetch` by default, on Node by a shorter way for content. The place to add to each
   * request a token that is renewed, or a signature. Called again, with the new address, for a redirect that is
   * followed.
   */
  readonly fetch?: (request: Request) => Promise<Response>;
  /**
   * True if only chunks are taken from it, and never its word on what a snapshot is. Set it for a server that is not to
   * be trusted: its chunks are verified. (With a verifier no server's word is taken, but only a signature.)
   *
   * @default {false}
   */
  readonly chunksOnly?: boolean;
  /**
   * Other origins to which the server may redirect (`["https://cdn.example"]`). They get none of `headers`, nor the
   * address's password. A redirect within the same origin, or from `http:` to `https:` of the same host, is always
   * followed; any other is refused. A page sees no redirects, and refuses all.
   *
   * @default {[]}
   */
  readonly redirects?: readonly (string | URL)[];
}

/** Checks a source. */
export function checkSource(value: unknown, what: string): void {
  if (typeof value === "string" || isOf(value, URL)) return void checkAddress(value, what);
  const { url, headers } = checkOptions(value as SourceOptions, {
    url: required(checkAddress),
    headers(value, what) {
      try {
        new Headers(value as HeadersInit);
      } catch {
        throw unfit(what, "headers", value);
      }
    },
    fetch: checkFunction,
    chunksOnly: checkBoolean,
    redirects: listOf(required(checkAddress)),
  }, what);
  if (new URL(url).username + new URL(url).password === "" || !new Headers(headers).has("Authorization")) return;
  throw new SnapshotError("MALFORMED", `${what} has a password in its address, and Authorization in its headers`);
}

/** The options of a source, of which perhaps only the address was given. */
export function sourceOptions(source: Source): SourceOptions {
  return typeof source === "string" || source instanceof URL ? { url: source } : source;
}

/** The address of a server, for messages: without password and query. */
export function withoutSecrets({ origin, pathname }: URL): string {
  let end = pathname.length;
  while (end > 0 && pathname[end - 1] === "/") end--; // a pattern for that takes seconds for a path of slashes
  return origin + pathname.slice(0, end);
}

/** The headers that a caller wants sent to its own server, with those that its address stands for. */
export function headersOf({ url, headers }: SourceOptions): Headers {
  const all = new Headers(headers);
  const { username, password } = new URL(url);
  if (username + password === "") return all;
  const secret = new TextEncoder().encode(`${decoded(username)}:${decoded(password)}`);
  all.set("Authorization", `Basic ${toBase64(secret)}`);
  return all;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that stands for itself
  }
}
