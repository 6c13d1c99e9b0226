/**
 * A server to fetch from: its address, and what is sent to it.
 *
 * @module
 */

import { checkBoolean, checkFunction, checkOptions, isOf, listOf, required, unfit } from "../../checks.ts";
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
  if (typeof value === "string" || isOf(value, URL)) return void addressOf(value, what);
  const { url, headers } = checkOptions(value as SourceOptions, {
    url: required(addressOf),
    headers(value, what) {
      try {
        new Headers(value as HeadersInit);
      } catch {
        throw unfit(what, "headers", value);
      }
    },
    fetch: checkFunction,
    chunksOnly: checkBoolean,
    redirects: listOf(required(addressOf)),
  }, what);
  if (new URL(url).username + new URL(url).password === "" || !new Headers(headers).has("Authorization")) return;
  throw new SnapshotError("MALFORMED", `${what} has a password in its address, and Authorization in its headers`);
}

/** Parses the address of a server. Of an address that is none, the message shows nothing that may be a secret. */
function addressOf(value: unknown, what: string): URL {
  const text = typeof value === "string" || isOf(value, URL) ? String(value) : undefined;
  if (text === undefined) throw unfit(what, "the address of a server: a string or a URL", value);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && isHttp(url) && url.hash === "") return url;
  const why = url?.hash ? "has a fragment, which no server sees" : "is no address of a server (http: or https:)";
  const source = shown(text);
  throw new SnapshotError("MALFORMED", `${what} ${why}: ${JSON.stringify(source)}`, { source });
}

/** The part of a text that certainly is no secret: all of a short and plain one, else what stands for a protocol. */
function shown(text: string): string {
  const [, protocol = "", rest] = /^([a-z][a-z0-9+.-]{0,20}:\/*)?([^]*)$/i.exec(text.slice(0, 100))!;
  return text.length <= 60 && !/[@?:&=]/.test(rest!) ? text : `${protocol}…`;
}

/** The options of a source, of which perhaps only the address was given. */
export function sourceOptions(source: Source): SourceOptions {
  return typeof source === "string" || source instanceof URL ? { url: source } : source;
}

/**
 * Reports whether a server of snapshots can have this address. Chromium takes any host, and escapes what none can have.
 */
export function isHttp({ protocol, hostname }: URL): boolean {
  return (protocol === "http:" || protocol === "https:") && !hostname.includes("%");
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
