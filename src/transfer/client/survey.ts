/**
 * Asking all sources at once which snapshot is the newest.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { isChosen, noneChosen, type SnapshotManifest } from "../../snapshot/mod.ts";
import { LinkedAbort, pause } from "../../async/mod.ts";
import { toHex } from "../../stream/mod.ts";
import type { HttpSource } from "./http_source.ts";
import { isTransient, RetryBudget } from "./retry_budget.ts";

/** Once there is a good answer, the others have as long as that took, times this, to give a newer one … */
const GRACE = 4;
/** … and at least, and at most, so many milliseconds. */
const LEAST_GRACE = 250;
const MOST_GRACE = 2000;

/** Options of {@linkcode survey}. */
export interface SurveyOptions {
  /** Cancels it. */
  readonly signal: AbortSignal | undefined;
  /** The index of the snapshot; the newest if absent. */
  readonly index: bigint | undefined;
  /** The newest at or before this index or time is taken, if present. */
  readonly at?: bigint | number | undefined;
  /** For how long a source may fail, in milliseconds. */
  readonly retryFor: number;
  /** Digests, in hexadecimal, of snapshots that turned out to be bad there: older ones are asked for in their stead. */
  readonly excluded: ReadonlySet<string>;
  /** Throws if a manifest is not wanted: not newer, of another group, not signed. */
  readonly accept: (manifest: SnapshotManifest, source: HttpSource, further: readonly URL[]) => Promise<void>;
  /** Told of each failure. */
  readonly report: (error: unknown) => void;
}

/** A snapshot that can be fetched. */
export interface Found {
  /** The manifest of the snapshot. */
  readonly manifest: SnapshotManifest;
  /** The sources that said so, each of which has all of it. */
  readonly from: readonly HttpSource[];
}

/**
 * Asks all sources at once, and retries those that fail. A source that stalls does not hold up the others for long:
 * soon after the first good answer the newest of those that came is taken.
 *
 * @returns the newest snapshot that is accepted; of two with one index, that of more sources
 * @throws {SnapshotError} a transient error if the answer of a source is not known; `STALE` only if all that have
 *   a snapshot have none that is newer
 */
export async function survey(sources: readonly HttpSource[], options: SurveyOptions): Promise<Found> {
  const { signal } = options;
  throwIfCancelled(signal);
  const stop = new LinkedAbort(signal);
  const answers: { readonly manifest: SnapshotManifest; readonly source: HttpSource }[] = [];
  const failures: unknown[] = [];
  /** The sources whose first answer is still to come. */
  const silent = new Set(sources);
  let enough = () => {};
  const decided = new Promise<void>((resolve) => enough = resolve);
  const began = performance.now();
  let grace: Promise<void> | undefined;
  const heard = (source: HttpSource) => {
    silent.delete(source);
    if (answers.length === 0) return;
    if (silent.size === 0) return enough();
    const wait = Math.min(Math.max(GRACE * (performance.now() - began), LEAST_GRACE), MOST_GRACE);
    grace ??= pause(wait, stop.signal).then(enough, () => {});
  };
  const asking = Promise.all(sources.map(async (source) => {
    try {
      const manifest = await ask(source, options, stop.signal, () => heard(source));
      answers.push({ manifest, source });
    } catch (error) {
      failures.push(error);
    }
    heard(source);
  }));
  try {
    await Promise.race([decided, asking]);
    throwIfCancelled(signal);
    if (answers.length > 0) return newest(answers);
    throw worst(failures);
  } finally {
    stop.abort();
    stop.unlink();
    await Promise.all([asking, grace]);
  }
}

/** Asks one source, for as long as it may fail. */
async function ask(
  source: HttpSource,
  { index, at, retryFor, excluded, accept, report }: SurveyOptions,
  signal: AbortSignal,
  failed: () => void,
): Promise<SnapshotManifest> {
  const budget = new RetryBudget(retryFor);
  for (;;) {
    try {
      const { manifest, further } = at === undefined
        ? await source.manifest(index, signal)
        : await atOrBefore(source, at, excluded, signal);
      const chosen = excluded.has(toHex(manifest.digest)) ? await older(source, excluded, signal) : manifest;
      await accept(chosen, source, further);
      return chosen;
    } catch (error) {
      throwIfCancelled(signal);
      report(error);
      failed();
      const wait = budget.failedAlone(error);
      if (wait === undefined) throw error;
      await pause(wait, signal);
    }
  }
}

/** The newest snapshot of a source at or before an index or a time that is not excluded. */
async function atOrBefore(
  source: HttpSource,
  at: bigint | number,
  excluded: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<ReturnType<HttpSource["manifest"]>> {
  const choice = { at };
  for (const { index, digest, createdAt } of await source.list(signal)) {
    const said = { lastIncludedIndex: BigInt(index), ...(createdAt !== undefined && { createdAt }) };
    if (excluded.has(digest) || !isChosen(said, choice)) continue;
    const found = await source.manifest(said.lastIncludedIndex, signal);
    if (isChosen(found.manifest.meta, choice)) return found;
    throw new SnapshotError("MALFORMED", `${source.url} lists snapshot ${index} with another time than it has`, {
      source: source.url,
      index: said.lastIncludedIndex,
    });
  }
  throw noneChosen(choice, source.url);
}

/** The newest snapshot of a source that is not excluded. */
async function older(
  source: HttpSource,
  excluded: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<SnapshotManifest> {
  const list = await source.list(signal);
  const next = list.find(({ digest }) => !excluded.has(digest));
  if (next !== undefined) return (await source.manifest(BigInt(next.index), signal)).manifest;
  throw new SnapshotError("NOT_FOUND", `${source.url} has no other snapshot`, { source: source.url });
}

function newest(answers: readonly { readonly manifest: SnapshotManifest; readonly source: HttpSource }[]): Found {
  const byDigest = new Map<string, { manifest: SnapshotManifest; from: HttpSource[] }>();
  for (const { manifest, source } of answers) {
    const digest = toHex(manifest.digest);
    const found = byDigest.get(digest);
    if (found === undefined) byDigest.set(digest, { manifest, from: [source] });
    else found.from.push(source);
  }
  return [...byDigest.values()].reduce((best, found) => {
    if (found.manifest.index !== best.manifest.index) return found.manifest.index > best.manifest.index ? found : best;
    return found.from.length > best.from.length ? found : best;
  });
}

/** The failure that says most: one after which nobody knows what that source has, then a wrong answer. */
function worst(failures: readonly unknown[]): unknown {
  const isClear = (error: unknown) => hasCode(error, "STALE", "NOT_FOUND");
  return failures.find(isTransient) ?? failures.find((error) => !isClear(error)) ??
    failures.find((error) => hasCode(error, "STALE")) ?? failures[0];
}

/** An error as one of the library. */
export function asError(error: unknown): SnapshotError {
  return error instanceof SnapshotError ? error : new SnapshotError("UNAVAILABLE", messageOf(error), { cause: error });
}
