/**
 * Serving the log behind the snapshots: live, or as far as it goes.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import { checkIndex, MAX_INDEX } from "../../checks.ts";
import { encodeEnd, encodeHeader, encodeHeartbeat, LOG_TYPE, LogReader } from "../../log/mod.ts";
import type { LogAnswers, ServedLog } from "../../log/mod.ts";
import { MAX_TAKEN } from "../../snapshot/mod.ts";
import { equal, streamFrom, toBase64, toHex } from "../../stream/mod.ts";
import { problem } from "../wire.ts";
import { jsonNow } from "./respond.ts";

/** The longest silence of a live stream, in milliseconds: then it says what the log has. */
const HEARTBEAT = 2000;
/** The media type of a log as lines of JSON. */
const LINES_TYPE = "application/x-ndjson";
/** The longest name of a follower, in characters. */
const MAX_NAME = 200;

/** What a request for the log asks for. */
interface Wanted {
  readonly from: bigint;
  readonly to: bigint | undefined;
  readonly isLive: boolean;
  readonly isText: boolean;
}

/** Answers requests for a log. It is the log that has it made: a handler without a log has nothing of this. */
export class LogRoute implements LogAnswers {
  readonly #log: ServedLog;

  /** @param log the log */
  constructor(log: ServedLog) {
    this.#log = log;
  }

  /**
   * Answers `GET /log`: without `from` with the state, else with entries.
   *
   * @param mayAcknowledge whether the client is trusted so far that the log is kept for it
   */
  async get(request: Request, mayAcknowledge: boolean): Promise<Response> {
    const query = new URL(request.url, "http://localhost").searchParams;
    if (mayAcknowledge) this.#acknowledge(query);
    if (query.has("index")) return await this.#digestAt(indexOf(query, "index")!);
    const from = indexOf(query, "from");
    if (from === undefined) return this.#status();
    const to = indexOf(query, "to");
    if (from === 0n || to !== undefined && to < from) throw malformed("from is 1 or more, and to is not before it");
    const { first, last, group } = this.#log.status();
    if (from < first) return gone(from, first);
    if (from > last + 1n) {
      throw new SnapshotError(
        "STALE",
        `This log ends with entry ${last}: there is nothing before ${from} to go on from`,
        {
          index: from,
          expected: last + 1n,
        },
      );
    }
    const previous = await this.#log.digest(from - 1n);
    if (previous === undefined) return gone(from, this.#log.status().first); // purged meanwhile
    const known = query.get("digest");
    if (known !== null && known !== toHex(previous)) {
      throw new SnapshotError("STALE", `Up to entry ${from - 1n} this log is another than that of ${known}`, {
        index: from - 1n,
        expected: toHex(previous),
        actual: known.slice(0, 100),
      });
    }
    const term = await this.#log.term(from - 1n) ?? 0n;
    const isText = /\b(json|ndjson)\b/i.test(request.headers.get("Accept") ?? "");
    const wanted = { from, to, isText, isLive: query.has("wait") && to === undefined };
    const headers = {
      "Content-Type": isText ? LINES_TYPE : LOG_TYPE,
      "Cache-Control": "no-store",
      ...(wanted.isLive && { "X-Accel-Buffering": "no" }), // nginx would wait for four kilobytes before it sends any
    };
    if (request.method === "HEAD") return new Response(null, { headers });
    const header = encodeHeader({ group, first: from, previous, term });
    return new Response(streamFrom(this.#records(wanted, header, previous)) as BodyInit, { headers });
  }

  /** Answers `POST /log/leader`: somebody else leads now, in a later term. */
  supersede(said: Uint8Array): Response {
    const { term, leader } = parse(said);
    this.#log.supersede(term, leader);
    return this.#status();
  }

  #status(): Response {
    const { first, last, term, group, role, leader } = this.#log.status();
    return jsonNow({
      first: String(first),
      last: String(last),
      term: String(term),
      ...(group !== undefined && { group }),
      role,
      ...(leader !== undefined && { leader }),
    });
  }

  async #digestAt(index: bigint): Promise<Response> {
    const digest = await this.#log.digest(index);
    if (digest === undefined) {
      const { first, last } = this.#log.status();
      throw new SnapshotError("NOT_FOUND", `This log has entries ${first} to ${last}, and not ${index}`, { index });
    }
    return jsonNow({ index: String(index), term: String(await this.#log.term(index) ?? 0n), digest: toHex(digest) });
  }

  #acknowledge(query: URLSearchParams): void {
    const name = query.get("follower");
    const index = indexOf(query, "durable");
    if (name !== null && name !== "" && name.length <= MAX_NAME && index !== undefined) {
      this.#log.acknowledge(name, index);
    }
  }

  /** The stream: each batch as soon as it is durable, and a heartbeat now and then. */
  async *#records(
    { from, to, isLive, isText }: Wanted,
    header: Uint8Array,
    previous: Uint8Array,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const log = this.#log;
    const texts = isText ? new Lines(from, previous) : undefined;
    const send = (record: Uint8Array) => texts?.of(record) ?? record;
    yield send(header);
    let [next, digest] = [from, previous];
    const heartbeat = () => {
      const { last, term } = log.status();
      return send(encodeHeartbeat({ last, term, time: Date.now() }));
    };
    if (isLive) yield heartbeat(); // says how far behind it is
    for (;;) {
      const batch = to !== undefined && next > to ? undefined : await log.batch(next, to);
      if (batch !== undefined) {
        if (!equal(batch.previous, digest)) throw new SnapshotError("STALE", "The log was replaced meanwhile");
        ({ digest } = batch);
        next = batch.last + 1n;
        yield send(batch.bytes);
        continue;
      }
      if (!isLive) return yield send(encodeEnd({ last: next - 1n, digest }));
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), HEARTBEAT);
      await log.appended(next - 1n, silence.signal);
      clearTimeout(timer);
      if (silence.signal.aborted) yield heartbeat();
      else if (log.status().last < next) return yield send(encodeEnd({ last: next - 1n, digest })); // it was closed
    }
  }
}

/** The records of a stream as lines of JSON, for people. */
class Lines {
  readonly #reader: LogReader;

  constructor(first: bigint, previous: Uint8Array) {
    this.#reader = new LogReader({ first, previous, source: "this server" });
  }

  of(bytes: Uint8Array): Uint8Array {
    const lines: unknown[] = [];
    for (const record of this.#reader.read(bytes)) {
      if (record.kind === "header") {
        const { group, first, previous } = record.header;
        lines.push({ first: String(first), ...(group !== undefined && { group }), previous: toHex(previous) });
      } else if (record.kind === "batch") {
        for (const { index, term, data, time, configuration } of record.batch.entries) {
          lines.push({
            index: String(index),
            term: String(term),
            ...(time !== undefined && { time: new Date(time).toISOString() }),
            ...(configuration !== undefined && { configuration }),
            ...dataJson(data),
          });
        }
      } else if (record.kind === "heartbeat") lines.push({ last: String(record.heartbeat.last) });
      else lines.push({ end: String(record.end.last), digest: toHex(record.end.digest) });
    }
    return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  }
}

/** A command as JSON: as text if it is one. */
function dataJson(data: Uint8Array): { readonly text: string } | { readonly base64: string } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data) };
  } catch {
    return { base64: toBase64(data) };
  }
}

/** The answer for entries that were purged, with the first that is left. */
function gone(from: bigint, first: bigint): Response {
  const error = new SnapshotError(
    "NOT_FOUND",
    `Entry ${from} was purged: the log begins with ${first}; install a snapshot`,
    { index: from, expected: first },
  );
  return problem(error, 410, { "Log-First": String(first) });
}

function indexOf(query: URLSearchParams, name: string): bigint | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^[0-9]{1,19}$/.test(text) || BigInt(text) > MAX_INDEX) throw malformed(`${name} is an index, in decimal`);
  return BigInt(text);
}

function malformed(message: string): SnapshotError {
  return new SnapshotError("MALFORMED", message);
}

function parse(bytes: Uint8Array): { readonly term: bigint; readonly leader: string | undefined } {
  try {
    const { term, leader } = JSON.parse(new TextDecoder().decode(bytes)) as { term?: unknown; leader?: unknown };
    if (leader !== undefined && typeof leader !== "string") throw new Error("leader is an address");
    const said = checkIndex(BigInt(String(term)), "term");
    if (said > MAX_TAKEN) throw new Error(`nobody could lead behind term ${said}`);
    return { term: said, leader };
  } catch (error) {
    throw malformed(`This says nothing of a leader: ${messageOf(error)}`);
  }
}
