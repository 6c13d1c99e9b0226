/**
 * Reading chunks of a snapshot from servers, of which any may fail.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { pause, raceAbort } from "../../async/mod.ts";
import { type ChunkMap, equal, sha256 } from "../../stream/mod.ts";
import type { HttpSource } from "./http_source.ts";
import { isTransient, RetryBudget } from "./retry_budget.ts";

/** The wait before a server that gave a wrong answer is asked once more, in milliseconds. */
const DOUBT_WAIT = 100;

/** The most verified chunks that wait to be read. */
const AHEAD = 2;

/** A file of the snapshot. */
interface RemoteFile {
  readonly name: string;
  readonly chunks: ChunkMap;
}

/** A server in the course of one read. */
interface Candidate {
  readonly server: HttpSource;
  readonly budget: RetryBudget;
  /** When it may be asked again. */
  at: number;
  /** The error for which it is not asked any more in this read. */
  failure?: unknown;
}

/** The content of a snapshot, on one server or several. */
export class RemoteContent {
  readonly #servers: HttpSource[];
  readonly #manifest: SnapshotManifest;
  readonly #retryFor: number;

  /**
   * @param servers where it is, the best first
   * @param manifest the snapshot
   * @param retryFor for how long a server may fail, in milliseconds
   */
  constructor(servers: readonly HttpSource[], manifest: SnapshotManifest, retryFor: number) {
    this.#servers = [...servers];
    this.#manifest = manifest;
    this.#retryFor = retryFor;
  }

  /**
   * Verified chunks of a file, in order. When a server fails, another continues with the first chunk that is missing.
   *
   * @throws {SnapshotError} the failure that says most, when all servers have failed
   */
  async *chunks(
    file: RemoteFile,
    first: number,
    end: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const candidates: Candidate[] = this.#servers.map((server) => ({
      server,
      budget: new RetryBudget(this.#retryFor),
      at: 0,
    }));
    let doubted: Candidate | undefined;
    for (let next = first; next < end;) {
      const candidate = doubted ?? choose(candidates);
      const { isDoubted } = candidate.server;
      doubted = undefined;
      await pause(Math.max(candidate.at - performance.now(), 0), signal);
      try {
        for await (const chunk of this.#request(candidate.server, file, next, end, signal)) {
          next++;
          candidate.budget.succeeded();
          yield chunk;
        }
      } catch (error) {
        throwIfCancelled(signal);
        if (!isDoubted && hasCode(error, "CORRUPT")) {
          candidate.server.isDoubted = true;
          doubted = candidate; // asked for the wrong chunk again at once, it finds out whether its snapshot is bad
          continue;
        }
        const wait = candidate.budget.failed(error);
        if (wait === undefined) candidate.failure = error;
        else candidate.at = performance.now() + wait;
        if (candidates.every(({ failure }) => failure !== undefined)) revive(candidates);
        continue;
      }
      this.#prefer(candidate.server);
    }
  }

  /** The next read begins with the server that served this one. */
  #prefer(server: HttpSource): void {
    const at = this.#servers.indexOf(server);
    if (at > 0) this.#servers.unshift(...this.#servers.splice(at, 1));
  }

  /** One request for the chunks from `first` to before `end`: all that came right before it failed are given. */
  async *#request(
    server: HttpSource,
    { name, chunks }: RemoteFile,
    first: number,
    end: number,
    outer: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const leaveOff = new AbortController();
    const signal = AbortSignal.any([leaveOff.signal, outer]);
    const ready: Uint8Array[] = [];
    let [wake, taken] = [() => {}, () => {}];
    let ended: { readonly error?: unknown } | undefined;
    let [next, filled] = [first, 0];
    let chunk = new Uint8Array(chunks.length(first));
    const take = async (piece: Uint8Array) => {
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + chunk.length - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < chunk.length) continue;
        const digest = await sha256(chunk);
        if (!equal(digest, chunks.digest(next))) throw chunks.corrupt(next, name, digest);
        ready.push(chunk);
        wake();
        if (++next < end) chunk = new Uint8Array(chunks.length(next));
        filled = 0;
        while (ready.length >= AHEAD) await raceAbort(new Promise<void>((resolve) => taken = resolve), signal);
      }
    };
    const base = this.#manifest.content.start(name);
    const [from, to] = [base + chunks.offset(first), base + chunks.offset(end)];
    const fetching = server.content(this.#manifest, from, to, signal, take)
      .then(() => ended = {}, (error) => ended = { error })
      .then(() => wake());
    try {
      for (;;) {
        const bytes = ready.shift();
        if (bytes !== undefined) {
          taken();
          yield bytes;
        } else if (ended === undefined) await new Promise<void>((resolve) => wake = resolve);
        else if ("error" in ended) throw ended.error;
        else return;
      }
    } finally {
      leaveOff.abort();
      await fetching;
    }
  }
}

/** The server that may be asked soonest; of several, the first. */
function choose(candidates: readonly Candidate[]): Candidate {
  const now = performance.now();
  const left = candidates.filter(({ failure }) => failure === undefined);
  return left.reduce((best, it) => Math.max(it.at, now) < Math.max(best.at, now) ? it : best);
}

/** All have failed: those whose answers were wrong are doubted once, or the failure that says most is thrown. */
function revive(candidates: readonly Candidate[]): void {
  const doubted = candidates.filter(({ budget, failure }) => budget.doubts(failure));
  if (doubted.length === 0) {
    const failures = candidates.map(({ failure }) => failure);
    throw failures.find((error) => isTransient(error)) ??
      failures.find((error) => !(error instanceof SnapshotError && error.code === "NOT_FOUND")) ?? failures[0];
  }
  for (const candidate of doubted) {
    delete candidate.failure;
    candidate.budget.succeeded();
    candidate.at = performance.now() + DOUBT_WAIT;
  }
}
