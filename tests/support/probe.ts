// A machine, a storage and an executor that tests can look into and hold up.

import {
  type Applied,
  type ExecutorEvent,
  type ExecutorOptions,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  type SaveTask,
  type SnapshotInfo,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStorage,
  type StateMachine,
} from "../../mod.ts";
import { type CheckOptions, type FileWriter, FsmCaller, type Receiver, SnapshotExecutor } from "../../src/extend.ts";
import { raceAbort } from "../../src/async/mod.ts";
import { bytesOf } from "./harness.ts";
import { FakeClock } from "./fake_clock.ts";

type Write = (writer: FileWriter, signal: AbortSignal, write: () => Promise<void>) => void | Promise<void>;

/** Its state is a text: what was applied, in order. It says what is done to it. */
export class Probe implements StateMachine {
  state = "";
  readonly calls: string[] = [];
  /** What runs now; two at once are a bug. */
  #inside: string | undefined;
  onApply: (entry: LogEntry) => void | Promise<void> = () => {};
  onSave: () => void | "nothing" = () => {};
  onWrite: Write = (_writer, _signal, write) => write();
  onCommitted: () => void = () => {};
  onRelease: () => void = () => {};
  onLoad: (reader: SnapshotReader) => void | Promise<void> = () => {};
  /** Absent, unless a test sets it: then a snapshot is tried by loading it. */
  check?: (reader: SnapshotReader, keep?: boolean) => Promise<unknown>;

  apply(entry: LogEntry): void | Promise<void> {
    this.#enter("apply");
    const leave = () => {
      this.#inside = undefined;
    };
    const finish = () => {
      this.state += `${entry.index}:${new TextDecoder().decode(entry.data)} `;
    };
    let waiting: void | Promise<void>;
    try {
      waiting = this.onApply(entry);
    } catch (error) {
      leave();
      throw error;
    }
    if (waiting !== undefined) return waiting.then(finish).finally(leave);
    finish();
    leave();
  }

  save(): SaveTask | undefined {
    this.#enter("save");
    this.#inside = undefined;
    this.calls.push("save");
    if (this.onSave() === "nothing") return undefined;
    const { state } = this;
    return {
      write: (writer, signal) => {
        this.calls.push("write");
        return this.onWrite(writer, signal, () => writeText(writer, state)) as Promise<void>;
      },
      committed: (snapshot) => {
        this.calls.push(`committed ${snapshot.meta.lastIncludedIndex}`);
        this.onCommitted();
      },
      release: () => {
        this.calls.push("release");
        this.onRelease();
      },
    };
  }

  async load(reader: SnapshotReader, checked?: unknown): Promise<void> {
    this.#enter("load");
    try {
      this.calls.push("load");
      await this.onLoad(reader);
      this.state = typeof checked === "string" ? `kept ${checked}` : await readText(reader);
    } finally {
      this.#inside = undefined;
    }
  }

  pause(): void {
    this.#enter("pause");
    this.#inside = undefined;
    this.calls.push("pause");
  }

  reinitialize(): void {
    this.calls.push("reinitialize");
  }

  #enter(what: string): void {
    if (this.#inside !== undefined) throw new Error(`${what} was called during ${this.#inside}`);
    this.#inside = what;
  }
}

/** Writes the one file of a probe's snapshot. */
export async function writeText(writer: FileWriter, text: string): Promise<void> {
  await ReadableStream.from([new TextEncoder().encode(text)]).pipeTo(writer.file("state"));
}

/** Reads it. */
export async function readText(reader: SnapshotReader): Promise<string> {
  return new TextDecoder().decode(await bytesOf(reader.file("state")));
}

/** Puts a snapshot into a storage. */
export async function commit(
  storage: SnapshotStorage,
  meta: Partial<SnapshotMeta>,
  text = "",
  options: CheckOptions = {},
): Promise<SnapshotInfo> {
  const writer = await storage.create();
  await writeText(writer, text);
  return await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [], ...meta }, options);
}

/** An executor on a probe, whose entries are applied by hand. */
export class Bench {
  readonly clock: FakeClock = new FakeClock();
  readonly machine: Probe = new Probe();
  readonly log: MemoryLog = new MemoryLog();
  readonly events: ExecutorEvent[] = [];
  readonly storage: SnapshotStorage;
  readonly executor: SnapshotExecutor;
  readonly fsm: FsmCaller;

  constructor(options: ExecutorOptions = {}, storage: SnapshotStorage = new MemoryStorage()) {
    this.storage = storage;
    this.fsm = new FsmCaller(this.machine);
    this.fsm.begin({ index: 0n, term: 1n, configuration: { peers: ["a"] } });
    this.executor = new SnapshotExecutor({ fsm: this.fsm, storage, log: this.log }, {
      clock: this.clock,
      ...options,
      triggers: { interval: 0, entries: 0, ...options.triggers },
      onEvent: (event) => {
        if (event.type !== "progress") this.events.push(event);
        options.onEvent?.(event);
      },
    });
  }

  get applied(): Applied {
    return this.fsm.applied;
  }

  exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    return this.fsm.exclusive(work);
  }

  /** Applies entries. */
  async apply(count: number, bytes = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { index, term } = this.applied;
      const entry = { index: index + 1n, term, data: new Uint8Array(bytes).fill(120) };
      await this.log.append([entry]);
      await this.fsm.apply(entry);
    }
  }

  /** Makes a snapshot out of nothing, when it is let; and honours its signal. */
  receiver(
    index: bigint,
    until: Promise<unknown> = Promise.resolve(),
    known = true,
    saves?: "beside",
  ): Receiver & { calls: number } {
    const receiver = {
      index: known ? index : undefined,
      ...(saves && { saves }),
      calls: 0,
      receive: async (
        signal: AbortSignal,
        _tracker: unknown,
        found: (index: bigint) => void,
        check: NonNullable<CheckOptions["check"]>,
        onReceived: () => Promise<void>,
      ) => {
        receiver.calls++;
        if (!known) found(index);
        await raceAbort(until, signal);
        await onReceived();
        return await commit(this.storage, { lastIncludedIndex: index, peers: ["b"] }, `installed ${index} `, { check });
      },
    };
    return receiver;
  }

  /** The types of the events so far, with the state where it changed. */
  get story(): string {
    return this.events.map((event) => event.type === "state" ? `(${event.state})` : event.type).join(" ");
  }

  async close(): Promise<void> {
    await this.executor.close();
    await this.storage.close();
  }
}

/** Does something with a bench, and closes it. */
export async function onBench(
  work: (bench: Bench) => Promise<void>,
  options: ExecutorOptions = {},
  storage?: SnapshotStorage,
): Promise<void> {
  const bench = new Bench(options, storage);
  try {
    await work(bench);
  } finally {
    await bench.close();
  }
}
