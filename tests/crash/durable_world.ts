// A replica whose machine keeps its state in a database, in a process that can be killed at any step of what it does to the
// database, the log and the snapshots; and what must be there afterwards.

import {
  archive,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SnapshotInstall,
  type SnapshotWriter,
  type StateMachine,
  unarchive,
} from "../../mod.ts";
import type { Engine } from "../../src/extend.ts";
import { toHex } from "../../src/stream/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { saveTo } from "../support/states.ts";
import { command, contentAfter, openWords, stateAfter, type Words } from "../support/words.ts";

/** A database that outlives the process. */
export interface MortalDatabase {
  /** Opens it, after {@linkcode kill} or for the first time. */
  open(): Promise<Engine>;
  /** Nobody uses it any more, and nobody has closed it properly. */
  kill(): Promise<void>;
  /** True if it can be synced: then nothing may ever be lost. */
  readonly isOnDisk: boolean;
  /** Takes back the last writes, as a power failure does where they are not synced. Absent: that cannot be. */
  rollBack?(writes: number): void;
}

/** When a process dies: before or after a step, counted from 1. */
export interface Death {
  readonly step: number;
  readonly when: "before" | "after";
}

const never = <T>() => new Promise<T>(() => {});

/** A process. What it does after it has died never ends, nor does it do anything any more. */
export class Process {
  /** How many steps it has taken. */
  steps = 0;
  readonly died: Promise<void>;
  readonly #death: Death | undefined;
  #dead = false;
  #die = () => {};

  constructor(death: Death | undefined) {
    this.#death = death;
    this.died = new Promise((resolve) => this.#die = resolve);
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** Dies now. */
  kill(): void {
    this.#dead = true;
    this.#die();
  }

  /** Does something that lasts. */
  async step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#dead) return await never();
    const isLast = ++this.steps === this.#death?.step;
    if (isLast && this.#death!.when === "before") this.kill();
    if (this.#dead) return await never();
    const result = await work();
    if (isLast) this.kill();
    return this.#dead ? await never() : result;
  }

  /** Looks at something. */
  async look<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#dead ? await never<T>() : await work();
    return this.#dead ? await never() : result;
  }

  /** An object some of whose methods are steps. */
  mortal<T extends object>(target: T, methods: Partial<Record<keyof T & string, unknown>>): T {
    return new Proxy(target, {
      get: (_, name) => {
        const own = methods[name as keyof T & string];
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (typeof own === "function") return own;
        return own === "step" ? (...args: unknown[]) => this.step(() => value.apply(target, args)) : value.bind(target);
      },
    });
  }
}

/** The word of an entry; nothing if it changes the membership. The same whoever writes it, and however often. */
function wordOf(index: bigint): string | undefined {
  return index % 7n === 0n ? undefined : `${"w".repeat(1 + Number(index % 3n))}${index * 5n % 11n}`;
}

function wordsUpTo(index: bigint): string[] {
  return Array.from({ length: Number(index) }, (_, i) => wordOf(BigInt(i + 1))).filter((word) => word !== undefined);
}

/** The members at an index. */
function peersAt(index: bigint): string[] {
  return index < 7n ? [] : [`at ${index - index % 7n}`];
}

/** All that outlives a process, and what is known of it. */
export class World {
  readonly log: MemoryLog = new MemoryLog();
  /** Digests of snapshots whose bytes have gone bad. */
  readonly #rotten = new Set<string>();
  /** The last entry that was acknowledged, or seen. */
  acknowledged = 0n;
  /** Openings at which it was known that too much was lost, and that was said. */
  refused = 0;
  readonly #database: MortalDatabase;
  #storage = new SpoiledStorage({ retain: 2 });
  #process = new Process(undefined);
  #words: Words | undefined;
  #replica: Replica<StateMachine> | undefined;

  constructor(database: MortalDatabase) {
    this.#database = database;
  }

  /**
   * Starts a process, and looks whether everything is there, once.
   *
   * @returns whether it could; not if too much was lost with a power failure, which must be said
   */
  async start(process: Process = new Process(undefined), incremental = false): Promise<boolean> {
    this.#process = process;
    const engine = await this.#database.open();
    const words = this.#words = await openWords(this.#mortalEngine(engine), { incremental });
    const base = await this.#base();
    const opening = Replica.open({
      machine: words.machine,
      log: process.mortal(this.log, { append: "step", purge: "step", reset: "step", close: () => Promise.resolve() }),
      storage: this.#mortalStorage(),
      triggers: { interval: 0 },
      purge: { gap: 1 },
      clock: new FakeClock(), // the timers of one that was killed would keep the test from ending
    });
    if (base + 1n < this.log.firstIndex) {
      const error = await opening.then(() => undefined, (error) => error);
      if (this.#database.isOnDisk) {
        throw new Error(`Up to ${base} it has the state, from ${this.log.firstIndex} the log`);
      }
      if (error?.code !== "CORRUPT") throw new Error(`It lost entries, and did not say so: ${error}`);
      this.refused++;
      return false;
    }
    this.#replica = await opening;
    await this.check();
    return true;
  }

  /** Throws unless the state is that after the entries that were applied, and none that was acknowledged is missing. */
  async check(): Promise<void> {
    const { appliedIndex, configuration } = this.#replica!.status();
    if (appliedIndex < this.acknowledged) {
      throw new Error(`Entry ${this.acknowledged} is lost: it is at ${appliedIndex}`);
    }
    const [found, expected] = [await this.#words!.content(), await contentAfter(wordsUpTo(appliedIndex))];
    if (found !== expected) throw new Error(`At ${appliedIndex} it has\n${found}, not\n${expected}`);
    const peers = configuration.peers.join();
    if (peers !== peersAt(appliedIndex).join()) throw new Error(`At ${appliedIndex} the members are ${peers}`);
    this.acknowledged = appliedIndex;
  }

  /** Proposes several commands, one right after the other. */
  async propose(count: number): Promise<void> {
    const next = this.#replica!.status().appliedIndex + 1n;
    await Promise.all(Array.from({ length: count }, async (_, i) => {
      const index = next + BigInt(i);
      const word = wordOf(index);
      const entry = await (word === undefined
        ? this.#replica!.reconfigure({ peers: peersAt(index) })
        : this.#replica!.propose(command(word)));
      if (entry.index !== index) {
        throw new Error(`Entry ${index} is ${entry.index}`);
      }
      if (index > this.acknowledged) {
        this.acknowledged = index;
      }
    }));
  }

  /** Takes a snapshot. */
  async save(): Promise<void> {
    await this.#replica!.snapshot().result;
  }

  /** Installs a snapshot from elsewhere, so many entries ahead. */
  async install(ahead: number): Promise<void> {
    const [process, replica] = [this.#process, this.#replica!];
    const index = replica.status().appliedIndex + BigInt(ahead);
    const elsewhere = new MemoryStorage();
    await saveTo(await stateAfter(wordsUpTo(index)), elsewhere, index, peersAt(index));
    const reader = await process.look(() => elsewhere.open()); // there may be another process by now
    await replica.install(archive(reader)).result;
    this.acknowledged = index;
  }

  /** Drops what need not be kept of the log. */
  async purge(): Promise<void> {
    await this.#replica!.purge();
  }

  /** Somebody wants a snapshot, and then the entries after it. */
  async send(): Promise<void> {
    const [process, replica] = [this.#process, this.#replica!];
    await replica.sendable();
    if (!this.#database.isOnDisk || process.isDead) return;
    const [newest] = await this.#storage.list();
    const { firstIndex, lastIndex } = replica.status();
    if (lastIndex > 0n && (newest === undefined || newest.meta.lastIncludedIndex + 1n < firstIndex)) {
      throw new Error(
        `The newest snapshot is ${newest?.meta.lastIncludedIndex}, and the log begins with ${firstIndex}`,
      );
    }
  }

  /** Has the database written to. */
  async flush(): Promise<void> {
    await this.#words!.state.flush();
  }

  /** The newest snapshot goes bad. */
  async rot(): Promise<void> {
    const [newest] = await this.#storage.list();
    if (newest === undefined) return;
    this.#rotten.add(toHex(newest.digest));
    this.#storage.spoil(newest.meta.lastIncludedIndex);
  }

  /** Ends the process as it should be. */
  async stop(): Promise<void> {
    await this.#replica?.close();
    await this.#words?.state.close();
    await this.#database.kill();
  }

  /** Ends the process at once; with a power failure, the database may lose its last writes. */
  async kill(lostWrites = 0): Promise<void> {
    this.#process.kill();
    await this.#database.kill();
    if (lostWrites > 0) this.#database.rollBack?.(lostWrites);
    const storage = new SpoiledStorage({ retain: 2 }); // the one before has what was being written; a disk sweeps that
    this.#storage.mend(); // what has rotted is copied too, and rots again
    for (const { meta: { lastIncludedIndex: index }, digest } of (await this.#storage.list()).reverse()) {
      const reader = await this.#storage.open(index);
      await unarchive(archive(reader), storage).result;
      await reader.close();
      if (this.#rotten.has(toHex(digest))) storage.spoil(index);
    }
    this.#storage = storage;
  }

  /** Up to where database and good snapshots have the state. */
  async #base(): Promise<bigint> {
    let base = this.#words!.state.durable()?.index ?? 0n;
    for (const { meta: { lastIncludedIndex: index } } of await this.#storage.list()) {
      if (index > base && !await this.#isRotten(index)) base = index;
    }
    return base;
  }

  async #isRotten(index: bigint | undefined): Promise<boolean> {
    const snapshot = (await this.#storage.list()).find(({ meta }) => meta.lastIncludedIndex === index);
    return snapshot !== undefined && this.#rotten.has(toHex(snapshot.digest));
  }

  #mortalEngine(engine: Engine): Engine {
    const process = this.#process;
    return {
      getMany: (keys) => process.look(() => engine.getMany(keys)),
      async *entries(from, to) {
        for await (const pairs of engine.entries(from, to)) yield await process.look(() => Promise.resolve(pairs));
      },
      write: (changes) => process.step(() => engine.write(changes)),
      clear: (from, to) => process.step(() => engine.clear(from, to)),
      ...(engine.sync !== undefined && { sync: () => process.step(() => engine.sync!()) }),
      view: () => engine.view(),
      close: () => engine.close(),
      codeOf: (error) => engine.codeOf(error),
    };
  }

  #mortalStorage(): SpoiledStorage {
    const [storage, process] = [this.#storage, this.#process];
    const mortal = <W extends SnapshotWriter | SnapshotInstall>(writer: W) =>
      process.mortal<W>(writer, { commit: "step" } as Partial<Record<keyof W & string, unknown>>);
    return process.mortal(storage, {
      create: (async (options) => mortal(await storage.create(options))) satisfies typeof storage.create,
      install: (async (manifest) => mortal(await storage.install(manifest))) satisfies typeof storage.install,
      open: ((index) => process.look(() => storage.open(index))) satisfies typeof storage.open,
      quarantine: "step",
      close: () => Promise.resolve(),
    });
  }
}
