/**
 * Asking a server what it has and does, and to take a snapshot.
 *
 * @module
 */

import { checkOptions, checkSignal, integer } from "../../checks.ts";
import { JSON_TYPE, type ListedSnapshot, readAnswer, responseError, type ServerStatus } from "../wire.ts";
import { type ExchangeInit, HttpSource } from "./http_source.ts";
import type { Source } from "./source.ts";

/** The longest answer that is read, in bytes. */
const MAX_ANSWER = 4 * 1024 * 1024;
/** The longest time for which the server may send nothing, in milliseconds. */
const TIMEOUT = 15_000;

/** Options of an inquiry. */
export interface InquiryOptions {
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/**
 * Lists the snapshots of a server.
 *
 * @param source the server
 * @param options the signal
 * @returns the list, newest first
 * @throws {SnapshotError} `UNAVAILABLE`, `FORBIDDEN` …; `MALFORMED` if it is no server of snapshots
 */
export async function listRemote(source: Source, options: InquiryOptions = {}): Promise<ListedSnapshot[]> {
  const found = await ask(source, "/snapshots", {}, options, TIMEOUT, "a list of snapshots", (value) => {
    if (!Array.isArray(value)) throw new TypeError("it is no list");
    return value.map(listedOf);
  });
  return found;
}

/**
 * Asks a server what it is doing.
 *
 * @param source the server
 * @param options the signal
 * @throws {SnapshotError} `NOT_FOUND` if it is a release that cannot say, `UNAVAILABLE`, `FORBIDDEN` …
 */
export async function remoteStatus(source: Source, options: InquiryOptions = {}): Promise<ServerStatus> {
  return await ask(source, "/snapshots/status", {}, options, TIMEOUT, "a status", (value) => {
    const status = value as ServerStatus;
    if (!Array.isArray(status.snapshots) || !Array.isArray(status.transfers)) throw new TypeError("it is no status");
    const snapshots = status.snapshots.map((one) => ({
      ...listedOf(one),
      chunks: Number(one.chunks),
      pinned: one.pinned === true,
    }));
    return { ...status, snapshots };
  });
}

/** Options of {@linkcode takeRemote}. */
export interface TakeOptions extends InquiryOptions {
  /** The least number of entries since the last snapshot; the server's own if it is more. */
  readonly gap?: number;
}

/**
 * Has a server take a snapshot, and waits for it.
 *
 * @param source the server
 * @param options the signal, and the gap
 * @returns the snapshot, and whether it is a new one
 * @throws {SnapshotError} the server's: `BUSY`, `UNSUPPORTED`, `FORBIDDEN` …
 */
export async function takeRemote(
  source: Source,
  options: TakeOptions = {},
): Promise<{ readonly taken: boolean; readonly snapshot: ListedSnapshot }> {
  const { gap, signal } = checkOptions(options, { gap: integer(0), signal: checkSignal });
  const init = { method: "POST", body: "{}", headers: { "Content-Type": JSON_TYPE } };
  const path = `/snapshots${gap === undefined ? "" : `?gap=${gap}`}`;
  // A save takes as long as it takes, and says nothing meanwhile.
  return await ask(source, path, init, signal === undefined ? {} : { signal }, 0, "a snapshot", (value, status) => ({
    taken: status === 201,
    snapshot: listedOf(value),
  }));
}

async function ask<T>(
  source: Source,
  path: string,
  init: ExchangeInit,
  { signal }: InquiryOptions,
  timeout: number,
  what: string,
  read: (value: unknown, status: number) => T,
): Promise<T> {
  const server = new HttpSource(source, timeout);
  const request = { ...init, headers: { Accept: JSON_TYPE, ...init.headers } };
  return await server.exchange(path, request, signal, async (response, watch) => {
    const { status } = response;
    if (status !== 200 && status !== 201) throw await responseError(response, server.url, watch);
    const decode = (bytes: Uint8Array) =>
      read(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)), status);
    return await readAnswer(response, server.url, what, MAX_ANSWER, watch, decode);
  });
}

/** What a server says is not what it must be: only what has the right form is passed on. */
function listedOf(value: unknown): ListedSnapshot {
  const { index, term, digest, size, files, peers, oldPeers, group, createdAt } = value as ListedSnapshot;
  const texts = (list: unknown): string[] => Array.isArray(list) ? list.map(String) : [];
  if (!/^[0-9]{1,19}$/.test(index) || !/^[0-9]{1,19}$/.test(term)) throw new TypeError("an index is no number");
  if (typeof size !== "number" || !(size >= 0) || typeof files !== "number") throw new TypeError("a size is no number");
  return {
    index,
    term,
    digest: String(digest),
    size,
    files,
    peers: texts(peers),
    oldPeers: texts(oldPeers),
    ...(typeof group === "string" && { group }),
    ...(typeof createdAt === "number" && { createdAt }),
  };
}
