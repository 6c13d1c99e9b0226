/** @jsxImportSource preact */
/// <reference lib="dom" />
/**
 * The page of a server of snapshots.
 *
 * @module
 */

import { render, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Progress } from "../../async/mod.ts";
import type { ServerStatus } from "../../transfer/mod.ts";
import { digestsOf, manifestOf, statusNow } from "./api.ts";
import { type Shown, Snapshot, useLoaded } from "./snapshot.tsx";
import { age, count, duration, size, visible } from "./text.ts";
import { type Moment, Timeline } from "./timeline.tsx";

/** The time between two questions, in milliseconds; while something moves it is asked more often. */
const IDLE = 5000;
const BUSY = 1000;
/** The most snapshots in the plot. */
const MAX_MOMENTS = 30;

interface Live {
  readonly status?: ServerStatus;
  readonly before?: ServerStatus;
  readonly error?: string;
}

/** Asks the server again and again, unless it is paused or nobody is looking. */
function useStatus(isPaused: boolean): Live {
  const [live, set] = useState<Live>({});
  useEffect(() => {
    if (isPaused) return;
    let timer: number | undefined;
    let isOver = false;
    const ask = async () => {
      clearTimeout(timer);
      let wait = IDLE;
      if (!document.hidden) {
        try {
          const status = await statusNow();
          if (isOver) return;
          const { state } = status.target ?? {};
          const isBusy = status.transfers.length > 0 || status.installing !== undefined ||
            (typeof state === "string" && state !== "idle");
          if (isBusy) wait = BUSY;
          set(({ status: before }) => ({ status, ...(before !== undefined && { before }) }));
        } catch (error) {
          if (isOver) return;
          set(({ status }) => ({
            error: `${error instanceof Error ? error.message : String(error)}; it is asked again`,
            ...(status !== undefined && { status }),
          }));
        }
      }
      timer = setTimeout(ask, wait) as unknown as number;
    };
    const look = () => void (!document.hidden && ask());
    document.addEventListener("visibilitychange", look);
    void ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [isPaused]);
  return live;
}

function App(): VNode {
  const [isPaused, setPaused] = useState(false);
  const { status, before, error } = useStatus(isPaused);
  const [chosen, choose] = useState<string>();
  const shown = status === undefined ? undefined : shownOf(status, chosen);
  return (
    <div>
      <a class="skip" href="#main">To the content</a>
      <header>
        <h1>Snapstream</h1>
        <span class="soft grow" role="status">
          {error !== undefined
            ? <span class="bad">{error}</span>
            : status === undefined
            ? "Loading …"
            : stateOf(status)}
        </span>
        <button type="button" class="quiet" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Paused" : "Pause"}
        </button>
      </header>
      <main id="main">
        {status !== undefined && <List status={status} shown={shown} choose={choose} />}
        {status !== undefined && <Activity status={status} before={before} />}
        {status !== undefined && status.snapshots.length > 0 && <Past status={status} />}
        {shown !== undefined && <Snapshot key={shown.digest} shown={shown} />}
      </main>
    </div>
  );
}

function stateOf({ target, snapshots }: ServerStatus): string {
  const state = typeof target?.["state"] === "string" ? `${target["state"]}, ` : "";
  return `${state}${snapshots.length} ${snapshots.length === 1 ? "snapshot" : "snapshots"}`;
}

/** The snapshot that was chosen, or the newest. */
function shownOf({ snapshots, installing, now }: ServerStatus, chosen: string | undefined): Shown | undefined {
  if (installing !== undefined && chosen === installing.digest) {
    return { index: installing.index, digest: installing.digest, before: snapshots[0]?.digest, receiving: now };
  }
  const at = Math.max(snapshots.findIndex(({ digest }) => digest === chosen), 0);
  const one = snapshots[at];
  return one && { index: one.index, digest: one.digest, before: snapshots[at + 1]?.digest };
}

function List({ status, shown, choose }: {
  readonly status: ServerStatus;
  readonly shown: Shown | undefined;
  readonly choose: (digest: string) => void;
}): VNode {
  const { snapshots, retain, now, unreadable, quarantined, unfinished } = status;
  return (
    <section aria-labelledby="snapshots">
      <h2 id="snapshots">Snapshots</h2>
      <p class="soft">
        {retain} {retain === 1 ? "is" : "are"} kept, beside those that are being read.
        {unfinished.map(({ index, size: all }) => ` An install of ${index} (${size(all)}) was interrupted.`)}
      </p>
      {unreadable.map(({ index, code }) => <p key={index} class="bad">Snapshot {index} cannot be read now ({code}).
      </p>)}
      {quarantined.map(({ index, at }) => (
        <p key={index} class="bad">Snapshot {index} is quarantined{at === undefined ? "" : `, ${age(at, now)}`}.</p>
      ))}
      {snapshots.length === 0
        ? <p>There is no snapshot yet.</p>
        : (
          <div class="scroll list" tabIndex={0} role="region" aria-label="List of snapshots">
            <table>
              <thead>
                <tr>
                  <th scope="col">Index</th>
                  <th scope="col" class="number">Size</th>
                  <th scope="col" class="number">Age</th>
                  <th scope="col" class="number wide">Term</th>
                  <th scope="col" class="number wide">Files</th>
                  <th scope="col" class="number wide">Chunks</th>
                  <th scope="col" class="wide text">In use</th>
                </tr>
              </thead>
              <tbody>
                {snapshots.map((one) => {
                  const isShown = one.digest === shown?.digest;
                  return (
                    <tr key={one.digest} class={isShown ? "chosen" : ""}>
                      <th scope="row">
                        <button type="button" class="link" aria-pressed={isShown} onClick={() => choose(one.digest)}>
                          {count(one.index)}
                        </button>
                      </th>
                      <td class="number">{size(one.size)}</td>
                      <td class="number">{age(one.createdAt, now)}</td>
                      <td class="number wide">{count(one.term)}</td>
                      <td class="number wide">{count(one.files)}</td>
                      <td class="number wide">{count(one.chunks)}</td>
                      <td class="wide text">{one.pinned ? "yes" : "no"}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        )}
      {status.installing !== undefined && (
        <button
          type="button"
          class="link"
          onClick={() => choose(status.installing!.digest)}
        >
          Show {status.installing.index}, which is being received
        </button>
      )}
    </section>
  );
}

function Activity(
  { status, before }: { readonly status: ServerStatus; readonly before: ServerStatus | undefined },
): VNode {
  const { installing, transfers, target, now } = status;
  const isIdle = installing === undefined && transfers.length === 0;
  const earlier = before?.installing?.digest === installing?.digest ? before?.installing : undefined;
  const rate = installing !== undefined && earlier !== undefined && before !== undefined && now > before.now
    ? (installing.held - earlier.held) / (now - before.now) * 1000
    : undefined;
  return (
    <section aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {isIdle && <p class="soft">Nothing is being sent or received.</p>}
      {installing !== undefined && (
        <Bar
          label={`Receiving snapshot ${installing.index}`}
          done={installing.held}
          all={installing.size}
          rate={rate}
        />
      )}
      {transfers.map(({ path, sent, size: all, since }) => (
        <Bar
          key={`${path} ${since}`}
          label={`Sending ${path.replace(/[0-9a-f]{64}/, (digest) => `${digest.slice(0, 8)}…`)}`}
          done={sent}
          all={all}
          rate={sent / Math.max(now - since, 1) * 1000}
        />
      ))}
      {target !== undefined && <Target target={target} />}
      {status.log !== undefined && <Log log={status.log} />}
    </section>
  );
}

function Bar({ label, done, all, rate }: {
  readonly label: string;
  readonly done: number;
  readonly all: number | undefined;
  readonly rate: number | undefined;
}): VNode {
  return (
    <div>
      <p>
        {label}: {size(done)}
        {all === undefined ? "" : ` of ${size(all)}`}
        {rate === undefined ? "" : `, ${size(Math.max(Math.round(rate), 0))}/s`}
      </p>
      {all !== undefined && <progress max={Math.max(all, 1)} value={done} aria-label={label} />}
    </div>
  );
}

/** The log that is served, and how far behind its followers are. */
function Log({ log }: { readonly log: NonNullable<ServerStatus["log"]> }): VNode {
  const { first, last, role, followers } = log;
  return (
    <div>
      <h3>Log</h3>
      <p>{count(first)} to {count(last)}, served by the {role}.</p>
      {followers.length === 0
        ? <p class="soft">Nobody follows it.</p>
        : (
          <div class="scroll" tabIndex={0} role="region" aria-label="Followers">
            <table>
              <thead>
                <tr>
                  <th scope="col">Follower</th>
                  <th scope="col" class="number">Has</th>
                  <th scope="col" class="number">Behind</th>
                  <th scope="col" class="number">Heard of</th>
                </tr>
              </thead>
              <tbody>
                {followers.map(({ name, index, silence }) => (
                  <tr key={name}>
                    <th scope="row" class="name">{visible(name)}</th>
                    <td class="number">{count(index)}</td>
                    <td class="number">{count(BigInt(last) > BigInt(index) ? BigInt(last) - BigInt(index) : 0n)}</td>
                    <td class="number">{age(0, silence)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </div>
  );
}

type Fields = Readonly<Record<string, unknown>>;

/** What a replica says of itself. */
function Target({ target }: { readonly target: Fields }): VNode {
  const metrics = (target["metrics"] ?? {}) as Fields;
  const lastSave = (metrics["lastSave"] ?? undefined) as Fields | undefined;
  const facts: [string, string][] = [];
  const add = (name: string, value: unknown, shown: (value: never) => string) => {
    if (value !== undefined && value !== null) facts.push([name, shown(value as never)]);
  };
  add("State", target["state"], String);
  add("Applied index", target["appliedIndex"], count);
  if (typeof target["lastIndex"] === "string" && typeof target["appliedIndex"] === "string") {
    add("Entries not yet applied", BigInt(target["lastIndex"]) - BigInt(target["appliedIndex"]), count);
    add("Log", `${count(String(target["firstIndex"]))} to ${count(target["lastIndex"])}`, String);
  }
  const failure = target["lastFailure"] as Fields | undefined;
  add("Bytes of the log", target["logBytes"], size);
  add("Saves", metrics["saves"], count);
  add("Saves that failed", metrics["saveFailures"], count);
  add("Installs", metrics["installs"], count);
  add("Installs that failed", metrics["installFailures"], count);
  add("Entries purged", metrics["purgedEntries"], count);
  add("Written by the last save", lastSave?.["bytes"], size);
  add("Reused by the last save", lastSave?.["reused"], size);
  add("Entries waited for the last save", lastSave?.["syncDuration"], duration);
  add("The last save took", lastSave?.["asyncDuration"], duration);
  const problem = target["problem"] as Fields | undefined;
  const progress = target["progress"] as Progress | undefined;
  return (
    <div>
      {progress !== undefined && (
        <Bar
          label={`Running: ${progress.phase}`}
          done={progress.bytes}
          all={progress.total}
          rate={progress.rate}
        />
      )}
      {failure !== undefined && <Failure failure={failure} />}
      {problem !== undefined && <p class="bad">Nothing is applied just now ({String(problem["code"])}).</p>}
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** The last failure of a replica; it may be long over. */
function Failure({ failure }: { readonly failure: Fields }): VNode {
  const { at, during, error } = failure as { readonly at: number; readonly during: string; readonly error?: Fields };
  return (
    <p class="soft">
      The last failure: {during} ({String(error?.["code"])}), {new Date(at).toLocaleString()}.
    </p>
  );
}

/** How long each snapshot's save took, in milliseconds, by its index: as far as a replica remembers it. */
function tookOf({ target }: ServerStatus): Map<string, number> {
  const { recentSaves = [] } = ((target as Fields | undefined)?.["metrics"] ?? {}) as {
    readonly recentSaves?: readonly { index: string; syncDuration: number; asyncDuration: number }[];
  };
  return new Map(recentSaves.map(({ index, syncDuration, asyncDuration }) => [index, syncDuration + asyncDuration]));
}

/** The timeline. */
function Past({ status }: { readonly status: ServerStatus }): VNode {
  const listed = status.snapshots.slice(0, MAX_MOMENTS).filter(({ createdAt }) => createdAt !== undefined).reverse();
  const took = tookOf(status);
  const moments = useLoaded(async () => {
    const found: Moment[] = [];
    let known = new Set<string>();
    for (const { index, digest, createdAt, size } of listed) {
      const manifest = await manifestOf(digest).catch(() => undefined);
      const digests = manifest === undefined ? [] : digestsOf(manifest);
      const reused = digests.reduce((sum, one, i) => known.has(one) ? sum + manifest!.content.length(i) : sum, 0);
      found.push({ at: createdAt!, index: Number(index), bytes: size, reused, took: took.get(index) });
      known = new Set(digests);
    }
    return found;
  }, [listed.map(({ digest, index }) => `${digest}/${took.get(index)}`).join()]);
  return (
    <section aria-labelledby="past">
      <h2 id="past">Over time</h2>
      {moments.error !== undefined && <p class="bad">{moments.error}</p>}
      {moments.value !== undefined && <Timeline moments={moments.value} />}
    </section>
  );
}

render(<App />, document.getElementById("app")!);
