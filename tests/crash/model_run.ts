// The model's schedules, played by a real replica: after each action it must come to stand where the model stands.

import {
  archive,
  hasCode,
  type LogStorage,
  MemoryLog,
  MemoryStorage,
  type Operation,
  Replica,
  SnapshotError,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { raceAbort, yieldTurn } from "../../src/async/mod.ts";
import { Random } from "../support/random.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { commit, Probe } from "../support/probe.ts";
import { bytesOf } from "../support/harness.ts";
import { EMPTY, type FileNode, type Image, nodeAt } from "./image.ts";
import { type Action, actions, internal, Lost, START, type State, step } from "./model.ts";
import { ROOT } from "./promise.ts";
import { SimulatedDisk } from "./simulated_disk.ts";

/** After so many milliseconds nothing more comes of an action. */
const PATIENCE = 10_000;
/** Entries in a schedule. */
const MOST = 12;

const DATA = new TextEncoder().encode("x");
const textAt = (index: number) => Array.from({ length: index }, (_, i) => `${i + 1}:x `).join("");

/** Something that waits until it is told how to go on. */
interface Gate {
  readonly promise: Promise<void>;
  open(): void;
  fail(): void;
}

function gate(): Gate {
  let open!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<void>((resolve, rejected) => [open, reject] = [resolve, rejected]);
  promise.catch(() => {});
  return { promise, open, fail: () => reject(new SnapshotError("UNAVAILABLE", "The schedule wants it to fail")) };
}

/** An install or a save that was asked for. */
interface Asked {
  readonly stop: AbortController;
  readonly gate: Gate;
}

/** The real thing, in one process; a crash makes a new one. */
class Process {
  readonly disk: SimulatedDisk;
  readonly machine = new Probe();
  readonly clock = new FakeClock();
  /** What the model says of the other member. */
  peer = START.peer;
  /** The loads that wait. */
  readonly loads: Gate[] = [];
  log!: LogStorage;
  storage!: DirectoryStorage;
  replica!: Replica<Probe>;
  /** Whose save or install runs, who asked for the same, and who waits. */
  owner: Asked | undefined;
  joiner: Asked | undefined;
  waiting: Asked | undefined;
  /** Whose save runs beside an install. */
  beside: Asked | undefined;
  readonly readers: { close(): Promise<void> }[] = [];
  /** Saves and installs that have not ended. */
  outstanding = 0;

  constructor(image: Image) {
    this.disk = new SimulatedDisk(image);
  }

  /** Asks for something. */
  ask(start: (asked: Asked) => Operation<unknown>): Asked {
    const asked: Asked = { stop: new AbortController(), gate: gate() };
    this.outstanding++;
    start(asked).result.catch(() => {}).then(() => this.outstanding--);
    return asked;
  }

  async open(log: LogStorage, whileSaving: "wait" | "cancel"): Promise<void> {
    this.log = log;
    this.storage = await DirectoryStorage.open(ROOT, { disk: this.disk });
    this.replica = await Replica.open({
      machine: this.machine,
      log,
      storage: this.storage,
      clock: this.clock,
      whileSaving,
      triggers: { interval: 0, entries: 0 },
      purge: {
        gap: 1,
        members:
          () => [{ matchIndex: BigInt(this.peer.match), lastSeen: this.peer.silent ? 0 : this.clock.monotonic() }],
      },
    });
    this.machine.onWrite = async (_writer, signal, write) => {
      await raceAbort((this.beside ?? this.owner)!.gate.promise, signal);
      await write();
    };
    this.machine.onLoad = () => {
      this.loads.push(gate());
      return this.loads.at(-1)!.promise;
    };
  }

  /** Where it stands, as the model says it. */
  async stand(): Promise<string> {
    try {
      return await this.#stand();
    } catch (error) {
      if (hasCode(error, "CLOSED")) return "closing";
      throw error;
    }
  }

  async #stand(): Promise<string> {
    const { state, appliedIndex, firstIndex } = this.replica.status();
    const count = (what: string) => this.machine.calls.filter((call) => call === what).length;
    const views = count("save") - count("release");
    if (state === "closed") return `closed, ${views} views, ${this.outstanding} asked`;
    const snapshots = (await this.storage.list()).map(({ meta }) => meta.lastIncludedIndex);
    const applied = `${appliedIndex}${this.machine.state === textAt(Number(appliedIndex)) ? "" : " WRONG"}`;
    return `${state}, ${views} views, ${this.outstanding} asked, log from ${firstIndex}, applied ${applied}, ${snapshots}`;
  }
}

/** Where the model stands. */
function standOf({ running, beside, waiting, closed, views, first, applied, snapshots }: State): string {
  const asked = [running, running?.joined || undefined, beside, waiting].filter((one) => one !== undefined).length;
  if (closed) return `closed, ${views} views, ${asked} asked`;
  const state = beside !== undefined
    ? "saving"
    : running === undefined
    ? "idle"
    : ({ write: "saving", receive: "receiving", settle: "saving", load: "loading", retire: "", purge: "" } as const)[
      running.step
    ];
  return `${state}, ${views} views, ${asked} asked, log from ${first}, applied ${applied}, ${snapshots}`;
}

/** Plays a random schedule; throws where the replica does not stand where the model does. Returns the actions. */
export async function playSchedule(seed: number, length: number): Promise<number> {
  const random = new Random(seed);
  const whileSaving = random.pick(["wait", "cancel"] as const);
  const way: Action[] = [];
  let process = new Process(EMPTY);
  await process.open(new MemoryLog(), whileSaving);
  let state = START;
  for (let i = 0; i < length; i++) {
    const possible = [...actions(state, MOST)].filter((action) => !action.startsWith("crash") || random.chance(0.15));
    if (possible.length === 0) continue;
    const action = random.pick(possible);
    let next: State;
    try {
      next = settled(step(state, action, whileSaving), whileSaving);
    } catch (error) {
      if (error instanceof Lost && error.isExpected) continue;
      throw error;
    }
    way.push(action);
    if (action.startsWith("crash")) process = await crash(process, action, state, whileSaving);
    else await act(process, action, state, next);
    process.peer = next.peer;
    state = next;
    const expected = standOf(state);
    if (await comes(async () => await process.stand() === expected)) continue;
    const stand = await process.stand();
    throw new Error(`Seed ${seed}, ${whileSaving}: ${way.join("; ")}: it is\n${stand}, and not\n${expected}`);
  }
  for (const load of process.loads) load.open();
  for (const asked of [process.owner, process.joiner, process.waiting, process.beside]) asked?.stop.abort();
  await process.replica.close();
  return way.length;
}

/** What happens by itself has happened. */
function settled(state: State, whileSaving: "wait" | "cancel"): State {
  for (let action = internal(state); action !== undefined; action = internal(state)) {
    state = step(state, action, whileSaving);
  }
  return state;
}

/** Waits until something is so; returns whether it came to be. */
async function comes(isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = performance.now() + PATIENCE; performance.now() < end; await yieldTurn()) {
    if (await isSo()) return true;
  }
  return false;
}

async function crash(
  old: Process,
  action: Action,
  { snapshots }: State,
  whileSaving: "wait" | "cancel",
): Promise<Process> {
  const log = new MemoryLog();
  const { firstIndex } = old.log;
  await log.reset(firstIndex - 1n, firstIndex === 1n ? 0n : 1n);
  for (let i = firstIndex; i <= old.log.lastIndex; i++) await log.append([{ index: i, term: 1n, data: DATA }]);
  const image = new Map(old.disk.image);
  if (action !== "crash") {
    const path = `${ROOT}/snapshot_${String(snapshots[0]).padStart(20, "0")}/state`;
    const bytes = (image.get(nodeAt(image, path)!) as FileNode).bytes.slice();
    bytes[0]! ^= 1;
    image.set(nodeAt(image, path)!, { size: bytes.length, bytes });
  }
  const process = new Process(image);
  await process.open(log, whileSaving);
  return process;
}

const ARCHIVES = new Map<number, Promise<Uint8Array>>();

/** A snapshot as another node sends it. */
function archiveOf(index: number): Promise<Uint8Array> {
  let bytes = ARCHIVES.get(index);
  if (bytes === undefined) {
    ARCHIVES.set(
      index,
      bytes = (async () => {
        const storage = new MemoryStorage();
        await commit(storage, { lastIncludedIndex: BigInt(index) }, textAt(index));
        return await bytesOf(archive(await storage.open()));
      })(),
    );
  }
  return bytes;
}

function install(process: Process, index: number): Asked {
  return process.ask(({ stop, gate }) => {
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await gate.promise;
        controller.enqueue((await archiveOf(index)).slice());
        controller.close();
      },
    }, { highWaterMark: 0 });
    return process.replica.install(stream, { index: BigInt(index), signal: stop.signal });
  });
}

/** The install beside which a save ran has gone, or that save: it is the one that runs, if any. */
function leaveBeside(process: Process, next: State): void {
  if (next.beside !== undefined || process.beside === undefined) return;
  if (next.running?.kind === "save") process.owner = process.beside;
  process.beside = undefined;
}

async function act(process: Process, action: Action, state: State, next: State): Promise<void> {
  const { replica } = process;
  if (action.startsWith("install ")) {
    const asked = install(process, Number(action.slice("install ".length)));
    leaveBeside(process, next);
    if (next.waiting !== undefined && state.waiting === undefined) process.waiting = asked;
    else if (next.running?.joined === true && state.running?.joined === false) process.joiner = asked;
    else if (next.running !== undefined && next.running !== state.running) {
      [process.owner, process.joiner] = [asked, undefined];
    }
    return;
  }
  switch (action) {
    case "apply":
      await replica.propose(DATA);
      break;
    case "save": {
      const asked = process.ask(({ stop }) => replica.snapshot({ signal: stop.signal, whileSaving: "refuse" }));
      if (next.running !== state.running) process.owner = asked;
      if (next.beside !== state.beside) process.beside = asked;
      break;
    }
    case "written":
    case "received":
      process.owner!.gate.open();
      break;
    case "write fails":
    case "receive fails":
      process.owner!.gate.fail();
      break;
    case "written beside":
      process.beside!.gate.open();
      break;
    case "write beside fails":
      process.beside!.gate.fail();
      break;
    case "cancel beside":
      process.beside!.stop.abort();
      break;
    case "loaded":
    case "load fails":
      await comes(() => process.loads.length > 0);
      process.loads.shift()![action === "loaded" ? "open" : "fail"]();
      break;
    case "cancel":
      process.owner!.stop.abort();
      break;
    case "close":
      void replica.close();
      break;
    case "read":
      process.readers.push(await process.storage.open());
      break;
    case "unread":
      await process.readers.shift()!.close();
      break;
  }
  const isGone = action === "cancel" || action === "receive fails" || action === "load fails";
  if (isGone && state.running!.joined) {
    if (next.waiting !== undefined && state.waiting === undefined) process.waiting = process.joiner;
    else process.owner = process.joiner;
    process.joiner = undefined;
  }
  leaveBeside(process, next);
  if (state.waiting !== undefined && next.waiting === undefined) {
    [process.owner, process.waiting] = [process.waiting, undefined];
  }
}
