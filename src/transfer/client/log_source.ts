/**
 * Reading another replica's log over HTTP.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import { LogReader, type LogRecord, type LogStatus } from "../../log/mod.ts";
import { checkIndex } from "../../checks.ts";
import { type BodyWatch, readBody, readLimited } from "../body.ts";
import { JSON_TYPE, responseError, unexpected } from "../wire.ts";
import { HttpSource } from "./http_source.ts";
import type { Source } from "./source.ts";

/** The longest answer about the state of a log, in bytes. */
const MAX_STATUS = 64 * 1024;

/** What a follower says of itself. */
export interface FollowerName {
  /** Its name. */
  readonly name: string;
  /** Its last durable entry. */
  readonly durable: bigint;
}

/** What is read of a log. */
export interface LogRequest {
  /** The first entry that is wanted. */
  readonly from: bigint;
  /** The digest of the history before it; absent to take the source's word. */
  readonly digest: Uint8Array | undefined;
  /** The group; absent to take entries of any. */
  readonly group: string | undefined;
  /** True to wait for entries that are yet to come. */
  readonly wait: boolean;
  /** Who asks. */
  readonly follower?: FollowerName | undefined;
}

/** The answer of a source that no longer has the wanted entries. */
export class LogPurged extends SnapshotError {
  /** @param first the first entry that is left */
  constructor(source: string, from: bigint, first: bigint) {
    super("NOT_FOUND", `${source} no longer has entry ${from}: its log begins with ${first}`, {
      source,
      index: from,
      expected: first,
    });
  }
}

/** The log of a server. */
export class LogSource {
  readonly #http: HttpSource;

  /**
   * @param source the server
   * @param timeout the longest silence, in milliseconds; 0 for no limit
   */
  constructor(source: Source, timeout: number) {
    this.#http = new HttpSource(source, timeout);
  }

  /** Its address, for messages. */
  get url(): string {
    return this.#http.url;
  }

  /**
   * The state of its log.
   *
   * @param follower who asks, and what it has
   */
  async status(signal: AbortSignal | undefined, follower?: FollowerName): Promise<LogStatus> {
    return await this.#http.exchange(`/log${queryOf(follower)}`, {}, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      return await this.#statusOf(response, watch);
    });
  }

  /** Tells it that somebody else leads now. */
  async supersede(term: bigint, leader: string | undefined, signal: AbortSignal | undefined): Promise<LogStatus> {
    const body = JSON.stringify({ term: String(term), leader });
    const init = { method: "POST", body, headers: { "Content-Type": JSON_TYPE } };
    return await this.#http.exchange("/log/leader", init, signal, async (response, watch) => {
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      return await this.#statusOf(response, watch);
    });
  }

  /**
   * Reads entries, each batch verified before it is handed on.
   *
   * @param visit called with each record; the next is read when it has resolved
   * @param onVisited called when all that has come was visited; more is read when it has resolved
   * @returns the last that was said of the history: whether it was the end
   * @throws {LogPurged}
   * @throws {SnapshotError} `STALE` if it has another history, or ends before
   */
  async read(
    { from, digest, group, wait, follower }: LogRequest,
    signal: AbortSignal | undefined,
    visit: (record: LogRecord) => Promise<void> | void,
    onVisited: () => Promise<void> | void = () => {},
  ): Promise<{ readonly isWhole: boolean }> {
    const query = queryOf(follower, { from: String(from), ...(wait && { wait: "1" }) });
    return await this.#http.exchange(`/log${query}`, {}, signal, async (response, watch) => {
      if (response.status === 410) {
        const first = response.headers.get("Log-First") ?? "";
        const error = await responseError(response, this.url, watch);
        throw /^[0-9]{1,19}$/.test(first) ? new LogPurged(this.url, from, BigInt(first)) : error;
      }
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      const reader = new LogReader({ first: from, previous: digest, group, source: this.url });
      // Silence is a failure, and a small rate none: nothing may happen for a long time.
      const patient: BodyWatch = { signal: watch.signal, resume: () => watch.resume(), pause: () => watch.pause() };
      try {
        await readBody(response, async (piece) => {
          for (const record of reader.read(piece)) await visit(record);
          await onVisited();
        }, patient);
      } catch (error) {
        if (hasCode(error, "MALFORMED") && reader.next === from) throw unexpected(response, this.url, "a log", error);
        throw error;
      }
      return { isWhole: reader.isWhole };
    });
  }

  /** The digest of the history at an index; nothing if the source does not have it. */
  async digest(index: bigint, signal: AbortSignal | undefined): Promise<string | undefined> {
    return await this.#http.exchange(`/log?index=${index}`, {}, signal, async (response, watch) => {
      if (response.status === 404) return undefined;
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      const { digest } = await this.#json(response, watch);
      return String(digest);
    });
  }

  async #statusOf(response: Response, watch: BodyWatch): Promise<LogStatus> {
    const { first, last, term, group, role, leader } = await this.#json(response, watch);
    try {
      return {
        first: checkIndex(BigInt(String(first)), "first"),
        last: checkIndex(BigInt(String(last)), "last"),
        term: checkIndex(BigInt(String(term)), "term"),
        group: typeof group === "string" ? group : undefined,
        role: role === "follower" || role === "superseded" ? role : "leader",
        leader: typeof leader === "string" ? leader : undefined,
      };
    } catch (error) {
      throw unexpected(response, this.url, "the state of a log", error);
    }
  }

  async #json(response: Response, watch: BodyWatch): Promise<Record<string, unknown>> {
    const bytes = await readLimited(response, MAX_STATUS, watch);
    try {
      const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
      if (typeof value !== "object" || value === null) throw new Error("it is no object");
      return value as Record<string, unknown>;
    } catch (error) {
      throw unexpected(response, this.url, `the state of a log`, messageOf(error));
    }
  }
}

function queryOf(follower: FollowerName | undefined, more: Record<string, string> = {}): string {
  const query = new URLSearchParams({
    ...more,
    ...(follower !== undefined && { follower: follower.name, durable: String(follower.durable) }),
  }).toString();
  return query === "" ? "" : `?${query}`;
}
