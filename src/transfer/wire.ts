/**
 * The protocol of handler and clients: paths, tags, lists, and errors as problem documents.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError, type SnapshotErrorCode } from "../errors.ts";
import type { SnapshotInfo, SnapshotManifest } from "../snapshot/mod.ts";
import { type ChunkMap, toBase64, toHex } from "../stream/mod.ts";
import { type BodyWatch, readLimited } from "./body.ts";

/** The media type of a manifest in protobuf. */
export const PROTOBUF_TYPE = "application/x-protobuf";
/** The media type of lists, and of documents for people. */
export const JSON_TYPE = "application/json";
/** The media type of an archive, and of files. */
export const BYTES_TYPE = "application/octet-stream";
/** The content type of an error (RFC 9457). */
export const PROBLEM_TYPE = "application/problem+json";

/**
 * The query of a request for content by a client that verifies every chunk itself: the server need not. It is in the
 * address, so that no cache gives such an answer to somebody else.
 */
export const VERIFIED_BY_CLIENT = { name: "verified-by", value: "client" } as const;

/**
 * A snapshot in the list that a {@linkcode snapshotHandler} gives as JSON.
 *
 * @category Transfer
 */
export interface ListedSnapshot {
  /** The index, decimal. */
  readonly index: string;
  /** The term, decimal. */
  readonly term: string;
  /** The digest, hexadecimal. */
  readonly digest: string;
  /** Bytes of all files. */
  readonly size: number;
  /** The number of files. */
  readonly files: number;
  /** The members. */
  readonly peers: readonly string[];
  /** The members before, while the membership is changing. */
  readonly oldPeers: readonly string[];
  /** The group; absent if it has none. */
  readonly group?: string;
  /** When it was taken: milliseconds since 1970; absent for a snapshot that braft wrote. */
  readonly createdAt?: number;
}

/** What a handler says of itself at `/snapshots/status`. */
export interface ServerStatus {
  /** The server's time: milliseconds since 1970. */
  readonly now: number;
  /** The number of snapshots that are kept. */
  readonly retain: number;
  /** The snapshots, newest first; `pinned` while a reader keeps one. */
  readonly snapshots: readonly (ListedSnapshot & { readonly chunks: number; readonly pinned: boolean })[];
  /** Those that cannot be read now: the index and the code of the error. */
  readonly unreadable: readonly { readonly index: string; readonly code: SnapshotErrorCode }[];
  /** Those that are quarantined. */
  readonly quarantined: readonly { readonly index: string; readonly at?: number }[];
  /** The snapshot that is being received. */
  readonly installing?: {
    readonly index: string;
    readonly digest: string;
    readonly size: number;
    readonly held: number;
  };
  /** Installs that were interrupted. */
  readonly unfinished: readonly { readonly index: string; readonly size: number }[];
  /** The content that is being sent. */
  readonly transfers: readonly ServerTransfer[];
  /** The log, if it is served: its first and last entry, and its followers, the last one heard of first. */
  readonly log?: {
    readonly first: string;
    readonly last: string;
    readonly role: string;
    /** `silence` is the time since a follower was heard of, in milliseconds. */
    readonly followers: readonly { readonly name: string; readonly index: string; readonly silence: number }[];
  };
  /** What the target says of itself: a `Replica`'s state, indices, metrics and progress. */
  readonly target?: Readonly<Record<string, unknown>>;
}

/** An answer with content that is on its way to a client. */
export interface ServerTransfer {
  /** The path of the request. */
  readonly path: string;
  /** Bytes that were sent. */
  readonly sent: number;
  /** Bytes in all, where that is known. */
  readonly size?: number;
  /** When it began: milliseconds since 1970. */
  readonly since: number;
}

/** A snapshot as JSON. */
export function listed(
  { meta, digest, size, files }: Pick<SnapshotInfo, "meta" | "digest" | "size" | "files">,
): ListedSnapshot {
  return {
    index: String(meta.lastIncludedIndex),
    term: String(meta.lastIncludedTerm),
    digest: toHex(digest),
    size,
    files,
    peers: meta.peers,
    oldPeers: meta.oldPeers ?? [],
    ...(meta.group !== undefined && { group: meta.group }),
    ...(meta.createdAt !== undefined && { createdAt: meta.createdAt }),
  };
}

/** A manifest as JSON, for people and for tools. */
export function manifestJson(manifest: SnapshotManifest): unknown {
  const { meta, digest, files, size } = manifest;
  return {
    ...listed({ meta, digest, size, files: files.length }),
    files: files.map(({ name, chunks, checksum, source }) => ({
      name,
      size: chunks?.size,
      checksum,
      source,
      chunks: chunks?.count,
      root: chunks && toHex(chunks.root),
    })),
  };
}

/** The strong tag of a manifest: the snapshot digest; as JSON, which is other bytes, another. */
export function manifestTag(manifest: SnapshotManifest, json = false): string {
  return `"${toHex(manifest.digest)}${json ? "-json" : ""}"`;
}

/**
 * The value of `Repr-Digest` (RFC 9530) for a file: `sha-256` where the file is one chunk, and its root under a name of
 * our own, which others ignore.
 */
export function reprDigest(chunks: ChunkMap): string {
  const root = `chunks-sha256=:${toBase64(chunks.root)}:`;
  return chunks.count === 1 ? `sha-256=:${toBase64(chunks.digest(0))}:, ${root}` : root;
}

const STATUS: Readonly<Record<SnapshotErrorCode, number>> = {
  BUSY: 409,
  STALE: 409,
  NOT_FOUND: 404,
  CLOSED: 503,
  CANCELLED: 503,
  TIMEOUT: 504,
  CORRUPT: 500,
  MALFORMED: 400,
  UNSUPPORTED: 501,
  NO_SPACE: 507,
  FORBIDDEN: 500,
  UNAVAILABLE: 503,
};

/** The code that a status stands for, where the body does not say. */
function codeOf(status: number): SnapshotErrorCode {
  if (status === 401 || status === 403 || status === 407 || status === 451) return "FORBIDDEN";
  if (status === 404 || status === 410) return "NOT_FOUND";
  if (status === 409) return "STALE";
  if (status === 422) return "CORRUPT";
  if (status === 507) return "NO_SPACE";
  if (status === 408 || status === 425 || status === 429) return "UNAVAILABLE";
  // Any other client error, and what a server does not implement, will be answered alike the next time.
  return status >= 400 && status < 500 || status === 501 || status === 505 ? "UNSUPPORTED" : "UNAVAILABLE";
}

/** The meaning of a status that proxies answer with, and the thing to do. */
const ADVICE: Readonly<Record<number, string>> = {
  411: "a proxy takes no body whose length is not announced",
  413: "the server, or a proxy in front of it, takes no body as large (nginx: client_max_body_size)",
  431: "the headers are too large",
  511: "the network wants a login first",
};

/**
 * An error as a problem document (RFC 9457). Details of the server's own failures, paths among them, do not leave it.
 *
 * @param error what happened
 * @param status the status, if it is not the usual one of the error's code
 * @param headers more of them
 */
export function problem(error: unknown, status?: number, headers: HeadersInit = {}): Response {
  const code = error instanceof SnapshotError && !isOfService(error) ? error.code : "UNAVAILABLE";
  const chosen = status ?? (error instanceof SnapshotError ? STATUS[code] : 500);
  const response = new Response(
    JSON.stringify({
      type: "about:blank",
      title: code,
      status: chosen,
      code,
      detail: chosen < 500 || chosen === 501 || chosen === 507 ? tellable(error) : OWN_FAILURE,
    }),
    { status: chosen, headers },
  );
  response.headers.set("Content-Type", PROBLEM_TYPE);
  response.headers.set("Cache-Control", "no-store"); // something absent now may be here soon
  return response;
}

/** What is told of the server's own failures. */
const OWN_FAILURE = "The server could not do it";

/** What a client may be told of an error: its message, unless it speaks of the server, or of what that asked for. */
export function tellable(error: unknown): string {
  return isOfServer(error) ? OWN_FAILURE : messageOf(error);
}

/**
 * Reports whether an error is the answer of a service that the server uses, such as its bucket's: what that refuses, or
 * does not know, says nothing of what the client asked for.
 */
export function isOfService(error: SnapshotError): boolean {
  return error.source !== undefined && error.code !== "NO_SPACE";
}

/** An absolute path, of any system. What a client sent has none: names in snapshots are relative. */
const ABSOLUTE_PATH = /(?:^|[\s("'`=])(?:[A-Za-z]:)?[\\/][^\s"'`\\/]+[\\/]/;

/** Reports whether an error speaks of the server's own disk or state, and not of what a client sent. */
function isOfServer(error: unknown): boolean {
  if (!(error instanceof SnapshotError)) return true;
  const { file, code, cause, message } = error;
  return code === "BUSY" || isOfService(error) ||
    file !== undefined && (cause !== undefined || /^([/\\]|[A-Za-z]:[/\\])/.test(file)) ||
    ABSOLUTE_PATH.test(message) || isOfSystem(cause);
}

/** Reports whether the operating system is at the bottom of an error. */
function isOfSystem(cause: unknown): boolean {
  for (let depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    if ("syscall" in cause || "errno" in cause) return true;
  }
  return false;
}

/** The longest problem document that is read. */
const MAX_PROBLEM = 64 * 1024;

/**
 * The error that an answer stands for.
 *
 * @param response the answer; its body is read, as far as it is small, or cancelled
 * @param source who answered
 * @param watch keeps an eye on the reading
 */
export async function responseError(response: Response, source: string, watch?: BodyWatch): Promise<SnapshotError> {
  const { status } = response;
  let code = codeOf(status);
  let detail = "";
  try {
    const text = new TextDecoder().decode(await readLimited(response, MAX_PROBLEM, watch));
    const said = JSON.parse(text) as { code?: unknown; detail?: unknown };
    if (typeof said.code === "string" && Object.hasOwn(STATUS, said.code)) code = said.code as SnapshotErrorCode;
    // What was closed or cancelled there is not the caller's own, which it would be taken for.
    if (code === "CLOSED" || code === "CANCELLED") code = "UNAVAILABLE";
    if (typeof said.detail === "string") detail = `: ${said.detail.slice(0, 1000)}`;
  } catch {
    // No problem document, but the page of a proxy: its status and its type say most.
    const type = typeOf(response);
    detail = (type === undefined ? "" : ` with ${type}`) + (ADVICE[status] === undefined ? "" : `: ${ADVICE[status]}`);
  }
  const wait = retryAfter(response.headers.get("Retry-After"));
  return new SnapshotError(code, `${source} answered ${status}${detail}`, {
    source,
    status,
    ...(wait > 0 && { retryAfter: wait }),
  });
}

/**
 * The error for an answer that is not what was asked for: the page of a proxy, for one.
 *
 * @param response the answer
 * @param source who answered
 * @param what was asked for
 * @param cause the way in which it is not that
 */
export function unexpected(response: Response, source: string, what: string, cause: unknown): SnapshotError {
  const { status } = response;
  const answered = `${source} answered ${status} with ${typeOf(response) ?? "no Content-Type"}`;
  return new SnapshotError("MALFORMED", `${answered}, which is not ${what}: ${messageOf(cause)}`, {
    source,
    status,
    cause,
  });
}

/**
 * Reads the whole of an answer, and makes something of it.
 *
 * @param response the answer
 * @param source who answered
 * @param what was asked for
 * @param limit the most bytes that it may have
 * @param watch keeps an eye on the reading
 * @param read makes something of it, or throws if it is something else
 * @throws {SnapshotError} `MALFORMED` if it is longer, or something else
 */
export async function readAnswer<T>(
  response: Response,
  source: string,
  what: string,
  limit: number,
  watch: BodyWatch,
  read: (bytes: Uint8Array) => T | Promise<T>,
): Promise<T> {
  const bytes = await readLimited(response, limit, watch).catch((error) => {
    throw hasCode(error, "MALFORMED") ? unexpected(response, source, what, error) : error;
  });
  try {
    return await read(bytes);
  } catch (error) {
    throw error instanceof SnapshotError && error.code !== "MALFORMED"
      ? error
      : unexpected(response, source, what, error);
  }
}

/** The media type of an answer, as far as it can be shown. */
export function typeOf({ headers }: Response): string | undefined {
  return headers.get("Content-Type")?.slice(0, 100).match(/^[\w.+/-]+/)?.[0];
}

/** Milliseconds: the header has seconds, or a date. */
function retryAfter(header: string | null): number {
  if (header === null) return 0;
  const seconds = Number(header);
  const wait = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1000;
  return wait > 0 ? wait : 0;
}
