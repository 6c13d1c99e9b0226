// A model of what an executor does, small enough that all of it can be looked at: its states, what can happen in each, and
// what must hold in all of them. Indices stand for entries; every replica applies the same.

/** What runs: a save up to an index, or an install of a snapshot, and how far it is. */
export interface Running {
  readonly kind: "save" | "install";
  readonly index: number;
  /** What it waits for: `settle` for the save beside it. `retire` and `purge` are done by themselves. */
  readonly step: "write" | "receive" | "settle" | "retire" | "load" | "purge";
  /** Whether somebody else asked for the same install. */
  readonly joined: boolean;
}

/** All that there is. */
export interface State {
  /** The last entry that was acknowledged: applied, and in the log. */
  readonly applied: number;
  /** The first entry of the log. */
  readonly first: number;
  /** The last snapshot that was loaded in the place of what came before it; the log begins after it. */
  readonly base: number;
  /** What is durable, newest first. */
  readonly snapshots: readonly number[];
  /** Those that a commit found too old: they go as soon as nobody reads them. What an opening finds stays until then. */
  readonly due: readonly number[];
  /** What is being read: by a download, or for a restore. */
  readonly reading: readonly number[];
  /** Views of the machine that were not released. */
  readonly views: number;
  readonly running?: Running;
  /** The save that runs beside an install whose snapshot comes. */
  readonly beside?: { readonly index: number; readonly step: "write" | "retire" | "purge" };
  /** The install that waits until it may begin. */
  readonly waiting?: number;
  readonly closing: boolean;
  readonly closed: boolean;
  /** The other member: what it has, and whether it is heard of. */
  readonly peer: { readonly match: number; readonly silent: boolean };
}

/** What may happen. */
export type Action =
  | "apply"
  | "save"
  | "written"
  | "write fails"
  | "written beside"
  | "write beside fails"
  | "cancel beside"
  | `install ${number}`
  | "received"
  | "receive fails"
  | "loaded"
  | "load fails"
  | "cancel"
  | "close"
  | "read"
  | "unread"
  | "peer moves"
  | "peer is silent"
  | "crash"
  | "crash, and the newest is damaged"
  | Internal;

/** What happens by itself. */
export type Internal = "retire" | "purge" | "begin";

export const RETAIN = 2;

export const START: State = {
  applied: 0,
  first: 1,
  base: 0,
  snapshots: [],
  due: [],
  reading: [],
  views: 0,
  closing: false,
  closed: false,
  peer: { match: 0, silent: false },
};

/** What can happen by itself. */
export function internal({ running, beside, waiting, closed }: State): Internal | undefined {
  if (beside?.step === "retire" || beside?.step === "purge") return beside.step;
  if (running?.step === "retire" || running?.step === "purge") return running.step;
  return running === undefined && waiting !== undefined && !closed ? "begin" : undefined;
}

/** What can happen, as long as there are no more entries than so many. */
export function* actions(state: State, most: number): Generator<Action> {
  const { applied, first, running, beside, waiting, closed, closing, reading, snapshots, peer } = state;
  yield "crash";
  // One of them may go bad; not all that are kept.
  if (snapshots.length >= RETAIN || snapshots.length > 0 && first === 1) yield "crash, and the newest is damaged";
  const own = internal(state);
  if (own !== undefined) yield own;
  if (snapshots.length > 0 && reading.length < 2 && !closing) yield "read";
  if (reading.length > 0) yield "unread";
  if (peer.match < applied) yield "peer moves";
  if (!peer.silent) yield "peer is silent";
  if (running?.step === "write") yield* ["written", "write fails"] as const;
  if (beside?.step === "write") yield* ["written beside", "write beside fails"] as const;
  if (running?.step === "receive") yield* ["received", "receive fails"] as const;
  if (running?.step === "load") yield* ["loaded", "load fails"] as const;
  if (closed || closing) return;
  yield "close";
  if (applied < most && running?.step !== "load") yield "apply"; // nothing is applied while another state is loaded
  yield "save";
  if (running?.step === "write" || running?.step === "receive" || running?.step === "settle") yield "cancel";
  if (beside?.step === "write") yield "cancel beside";
  if (waiting === undefined && running?.joined !== true) {
    for (const index of new Set([applied, applied + 1, applied + 3, running?.index ?? 1])) {
      if (index >= 1 && index <= most) yield `install ${index}`;
    }
  }
}

/** What comes of it. `whileSaving` is the executor's option. */
export function step(state: State, action: Action, whileSaving: "wait" | "cancel"): State {
  const { applied, running, beside, reading, peer, snapshots } = state;
  if (action.startsWith("install ")) return install(state, Number(action.slice("install ".length)), whileSaving);
  switch (action) {
    case "apply":
      return { ...state, applied: applied + 1 };
    case "save":
      if (beside !== undefined || applied <= (snapshots[0] ?? 0)) return state; // BUSY, or nothing new to save
      if (running?.step === "receive") {
        return { ...state, views: state.views + 1, beside: { index: applied, step: "write" } };
      }
      if (running !== undefined) return state; // BUSY
      return {
        ...state,
        views: state.views + 1,
        running: { kind: "save", index: applied, step: "write", joined: false },
      };
    case "written": // and committed
      return published({ ...state, views: state.views - 1 }, running!);
    case "write fails":
      return ended({ ...state, views: state.views - 1 });
    case "written beside": {
      const published = [beside!.index, ...snapshots];
      return {
        ...state,
        views: state.views - 1,
        snapshots: published,
        due: published.slice(RETAIN),
        beside: { ...beside!, step: "retire" },
      };
    }
    case "write beside fails":
    case "cancel beside":
      return endedBeside({ ...state, views: state.views - 1 });
    case "received":
      if (beside === undefined) return tried(state);
      return whileSaving === "wait" || beside.step !== "write"
        ? { ...state, running: { ...running!, step: "settle" } }
        : tried(endedBeside({ ...state, views: state.views - 1 }));
    case "receive fails":
    case "load fails":
      return goneWrong(state, whileSaving);
    case "retire":
      if (beside !== undefined) return { ...retired(state), beside: { ...beside, step: "purge" } };
      return { ...retired(state), running: { ...running!, step: "purge" } };
    case "loaded": { // and committed
      const { index } = running!;
      return published({ ...state, applied: index, first: index + 1, base: index }, running!);
    }
    case "purge":
      if (beside !== undefined) return endedBeside(purged(state));
      return ended(purged(state));
    case "begin": {
      const { waiting, ...rest } = state;
      return install(rest, waiting!, whileSaving);
    }
    case "cancel":
      if (running!.kind === "save") return ended({ ...state, views: state.views - 1 });
      return goneWrong(state, whileSaving);
    case "close":
      if (running?.step === "load" || running?.step === "retire" || running?.step === "purge") {
        return { ...state, closing: true };
      }
      return ended({ ...state, views: 0, closing: true });
    case "read":
      return { ...state, reading: [...reading, snapshots[0]!] };
    case "unread":
      return retired({ ...state, reading: reading.slice(1) });
    case "peer moves":
      return { ...state, peer: { match: applied, silent: false } };
    case "peer is silent":
      return { ...state, peer: { ...peer, silent: true } };
    case "crash":
      return recovered(state);
    case "crash, and the newest is damaged":
      return recovered({ ...state, snapshots: snapshots.slice(1) });
  }
  throw new Error(action);
}

function install(state: State, index: number, whileSaving: "wait" | "cancel"): State {
  const { running, snapshots, applied } = state;
  const newest = snapshots[0] ?? 0;
  if (index <= applied || index <= newest) return state; // STALE
  if (running === undefined) {
    return { ...state, running: { kind: "install", index, step: "receive", joined: false } };
  }
  if (running.step === "receive" || running.step === "settle") {
    if (index === running.index) return { ...state, running: { ...running, joined: true } };
    if (index < running.index) return state;
    if (state.beside !== undefined) return install(ended(state), index, whileSaving);
    return { ...state, running: { ...running, index, joined: false } };
  }
  if (running.step === "write" && whileSaving === "cancel") {
    return { ...ended({ ...state, views: state.views - 1 }), waiting: index };
  }
  return { ...state, waiting: index };
}

function published(state: State, running: Running): State {
  const { index } = running;
  if (index <= (state.snapshots[0] ?? 0)) return ended(state); // STALE
  const snapshots = [index, ...state.snapshots];
  return { ...state, snapshots, due: snapshots.slice(RETAIN), running: { ...running, step: "retire" } };
}

/** Without what is too old, and not being read. */
function retired(state: State): State {
  const goes = (index: number) => state.due.includes(index) && !state.reading.includes(index);
  return {
    ...state,
    snapshots: state.snapshots.filter((index) => !goes(index)),
    due: state.due.filter((index) => !goes(index)),
  };
}

function purged(state: State): State {
  const { snapshots, first, peer } = state;
  const oldest = snapshots.length < RETAIN ? 0 : snapshots.at(-1)!;
  const upTo = Math.min(oldest, peer.silent ? Infinity : peer.match);
  return { ...state, first: Math.max(first, upTo + 1) };
}

/** Who asked for the same does it now, unless it came too late. */
function goneWrong(state: State, whileSaving: "wait" | "cancel"): State {
  const { index, joined } = state.running!;
  return joined && !state.closing ? install(ended(state), index, whileSaving) : ended(state);
}

/** Tries what was received, if it is newer than the state still: by loading it. */
function tried(state: State): State {
  const { running, applied } = state;
  return running!.index <= applied ? ended(state) : { ...state, running: { ...running!, step: "load" } };
}

function endedBeside(state: State): State {
  const { beside: _, ...rest } = state;
  return rest.running!.step === "settle" ? tried(rest) : rest;
}

function ended(state: State): State {
  const { running: _, beside, ...rest } = state;
  if (!rest.closing) {
    return beside === undefined ? rest : { ...rest, running: { kind: "save", joined: false, ...beside } };
  }
  const { waiting: __, ...all } = rest;
  return retired({ ...all, closed: true, reading: [] });
}

/** What a new process makes of what is durable. */
function recovered({ applied, first, base, snapshots, peer }: State): State {
  const newest = snapshots[0] ?? 0;
  if (first > newest + 1) throw new Lost(base === first - 1, `entries ${newest + 1} to ${first - 1} are nowhere`);
  const isAhead = newest > applied; // the log has nothing that follows it
  return {
    ...START,
    applied: Math.max(applied, newest),
    first: isAhead ? newest + 1 : first,
    base: isAhead ? newest : base,
    snapshots,
    peer: { ...peer, silent: false },
  };
}

/** A state that cannot be recovered from. */
export class Lost extends Error {
  /** Whether that is as it must be: what an install passed over was never here. */
  readonly isExpected: boolean;
  constructor(isExpected: boolean, message: string) {
    super(message);
    this.isExpected = isExpected;
  }
}

/** What must hold in every state. Returns what does not. */
export function wrongIn(state: State, before: State, action: Action): string | undefined {
  const { views, running, beside, snapshots, first, base, applied, peer, reading } = state;
  const writing = [running, beside].filter((one) => one?.step === "write").length;
  if (views !== writing || writing > 1) return `${views} views are held`;
  if (snapshots.some((index, i) => i > 0 && index >= snapshots[i - 1]!)) return "an older snapshot is over a newer one";
  if (applied < before.applied) return `${before.applied} was acknowledged, and the state is at ${applied}`;
  if (first <= before.first || first === base + 1) return undefined; // below: purges
  const needed = Math.min(...snapshots.slice(0, RETAIN), ...reading.filter((index) => snapshots.includes(index)));
  if (snapshots.length < RETAIN || first > needed + 1) {
    return `the log was purged up to ${first - 1}, ${needed} needs more`;
  }
  if (!peer.silent && first > peer.match + 1) return `a member at ${peer.match} is alive, and ${first - 1} was purged`;
  return action === "purge" || action.startsWith("crash") ? undefined : `${action} purged`;
}

/** What was explored. */
export interface Modelled {
  states: number;
  transitions: number;
}

/**
 * Goes through all states that so many actions lead to.
 *
 * @throws at the first in which something does not hold, with the shortest way to it
 */
export function exploreModel(depth: number, most: number, whileSaving: "wait" | "cancel"): Modelled {
  let layer: { readonly state: State; readonly way: readonly Action[] }[] = [{ state: START, way: [] }];
  const seen = new Set([keyOf(START)]);
  let transitions = 0;
  for (let i = 0; i < depth; i++) {
    const next: typeof layer = [];
    for (const { state, way } of layer) {
      for (const action of actions(state, most)) {
        transitions++;
        let to: State;
        try {
          to = step(state, action, whileSaving);
        } catch (error) {
          if (error instanceof Lost && error.isExpected && action !== "crash") continue;
          throw new Error(`${[...way, action].join("; ")}: ${error}`);
        }
        const wrong = wrongIn(to, state, action);
        if (wrong !== undefined) throw new Error(`${[...way, action].join("; ")}: ${wrong}`);
        const key = keyOf(to);
        if (seen.has(key)) continue;
        seen.add(key);
        next.push({ state: to, way: [...way, action] });
      }
    }
    layer = next;
  }
  return { states: seen.size, transitions };
}

function keyOf(state: State): string {
  const { applied, first, base, snapshots, due, reading, views, running, beside, waiting, closing, closed, peer } =
    state;
  const runs = running && [running.kind, running.index, running.step, running.joined];
  const saves = beside && [beside.index, beside.step];
  const all = [applied, first, base, snapshots, due, reading, views, runs, saves, waiting, closing, closed, peer];
  return JSON.stringify(all);
}
