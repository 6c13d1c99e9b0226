/**
 * Reading another replica's log over HTTP.
 *
 * @module
 */

import { checkIndex, limitOf } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { LogReader, type LogRecord, type LogStatus } from "../../log/mod.ts";
import { MAX_TAKEN } from "../../snapshot/mod.ts";
import { type BodyWatch, readBody } from "../body.ts";
import { Pace } from "../pace.ts";
import { JSON_TYPE, readAnswer, responseError, unexpected } from "../wire.ts";
import type { ExchangeWatch } from "./exchange_watch.ts";
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

/**
 * The watch over a log's stream. Nothing comes of an idle log but heartbeats, and that is all right; but a source that
 * drips, or says that it has entries and sends none of them, keeps its follower from those who have them.
 */
class OwedWatch implements BodyWatch {
  readonly #watch: ExchangeWatch;
  readonly #pace: Pace;

  constructor(watch: ExchangeWatch, source: string, timeout: number) {
    this.#watch = watch;
    this.#pace = new Pace(timeout, () => {
      const message = `${source} sent none of the entries that it says it has, or only a part, for ${timeout} ms`;
      watch.stop(new SnapshotError("TIMEOUT", message, { source }));
    });
  }

  get signal(): AbortSignal {
    return this.#watch.signal;
  }

  resume(): void {
    this.#watch.resume();
    this.#pace.wait();
  }

  pause(): void {
    this.#watch.pause();
    this.#pace.moved(0);
  }

  /** Notes that part of a record came. */
  partCame(bytes: number): void {
    this.#pace.give(bytes);
  }

  /** Notes that the source owes nothing now. */
  settle(): void {
    this.#pace.give(Infinity);
  }
}

/** The log of a server. */
export class LogSource {
  readonly #http: HttpSource;
  readonly #timeout: number;

  /**
   * @param source the server
   * @param timeout the longest time in which it sends nothing, or none of what it says it has, in milliseconds; 0 for
   *   no limit
   */
  constructor(source: Source, timeout: number) {
    this.#http = new HttpSource(source, timeout);
    this.#timeout = limitOf(timeout);
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
        const isTrue = /^[0-9]{1,19}$/.test(first) && BigInt(first) > from; // else an install would be of no use
        throw isTrue ? new LogPurged(this.url, from, BigInt(first)) : error;
      }
      if (response.status !== 200) throw await responseError(response, this.url, watch);
      const reader = new LogReader({ first: from, previous: digest, group, source: this.url });
      const owed = new OwedWatch(watch, this.url, this.#timeout);
      try {
        await readBody(response, async (piece) => {
          let isPart = true;
          for (const record of reader.read(piece)) {
            isPart = false;
            if (this.#checkRecord(record) < reader.next) owed.settle();
            await visit(record);
          }
          if (isPart) owed.partCame(piece.length);
          await onVisited();
        }, owed);
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
      return await this.#json(response, watch, ({ digest }) => String(digest));
    });
  }

  /**
   * Refuses a term behind which no other leader could begin one.
   *
   * @returns the last entry that the source has, as far as the record says
   */
  #checkRecord(record: LogRecord): bigint {
    if (record.kind === "end") return record.end.last;
    if (record.kind === "header") {
      this.#checkTerm(record.header.term);
      return record.header.first - 1n;
    }
    const { last, term } = record.kind === "batch"
      ? { last: record.batch.entries.at(-1)!.index, term: record.batch.entries.at(-1)!.term }
      : record.heartbeat;
    this.#checkTerm(term);
    return last;
  }

  #checkTerm(term: bigint): void {
    if (term <= MAX_TAKEN) return;
    throw new SnapshotError("MALFORMED", `${this.url} says term ${term}, behind which nobody could lead`, {
      source: this.url,
      expected: MAX_TAKEN,
      actual: term,
    });
  }

  async #statusOf(response: Response, watch: BodyWatch): Promise<LogStatus> {
    return await this.#json(response, watch, ({ first, last, term, group, role, leader }) => {
      this.#checkTerm(checkIndex(BigInt(String(term)), "term"));
      return {
        first: checkIndex(BigInt(String(first)), "first"),
        last: checkIndex(BigInt(String(last)), "last"),
        term: BigInt(String(term)),
        group: typeof group === "string" ? group : undefined,
        role: role === "follower" || role === "superseded" ? role : "leader",
        leader: typeof leader === "string" ? leader : undefined,
      };
    });
  }

  async #json<T>(response: Response, watch: BodyWatch, read: (value: Record<string, unknown>) => T): Promise<T> {
    return await readAnswer(response, this.url, "the state of a log", MAX_STATUS, watch, (bytes) => {
      const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
      if (typeof value !== "object" || value === null) throw new Error("it is no object");
      return read(value as Record<string, unknown>);
    });
  }
}

function queryOf(follower: FollowerName | undefined, more: Record<string, string> = {}): string {
  const query = new URLSearchParams({
    ...more,
    ...(follower !== undefined && { follower: follower.name, durable: String(follower.durable) }),
  }).toString();
  return query === "" ? "" : `?${query}`;
}
