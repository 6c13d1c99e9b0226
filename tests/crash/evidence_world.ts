// A replica on a simulated disk, to which everything happens that is a doubt and no proof, and now and then a proof. It says
// what must hold then: what was acknowledged is there, applied once; and whatever can be had from disk and log is had.

import {
  archive,
  type ExecutorEvent,
  hasCode,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SaveTask,
  SnapshotError,
  type SnapshotReader,
  type StateMachine,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { yieldTurn } from "../../src/async/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { assert, bytesOf, pieces } from "../support/harness.ts";
import { commit, readText, writeText } from "../support/probe.ts";
import { contentOf, EMPTY, type FileNode, type Image, namesIn, nodeAt } from "./image.ts";
import { flip, ROOT } from "./promise.ts";
import { type DiskFault, type DiskOperation, SimulatedDisk } from "./simulated_disk.ts";

/** The program: an older one, and a newer one whose snapshots the older does not understand. */
export type Version = 1 | 2;

const DATA = new TextEncoder().encode("x");
/** The state after so many entries, whoever applied them. */
const textAt = (index: bigint) => Array.from({ length: Number(index) }, (_, i) => `${i + 1} `).join("");

/** Its state is the entries that were applied; it notices one that comes twice, or is left out. */
class Machine implements StateMachine {
  readonly version: Version;
  text = "";
  last = 0n;
  check?: (reader: SnapshotReader) => Promise<void>;

  constructor(version: Version, checks: boolean) {
    this.version = version;
    if (checks) this.check = async (reader) => void await this.#read(reader);
  }

  apply({ index }: LogEntry): void {
    if (index !== this.last + 1n) throw new Error(`Entry ${index} is applied after ${this.last}`);
    this.last = index;
    this.text += `${index} `;
  }

  save(): SaveTask {
    const text = `${this.version}|${this.text}`;
    return { write: (writer) => writeText(writer, text), release: () => {} };
  }

  async load(reader: SnapshotReader): Promise<void> {
    this.text = await this.#read(reader);
    this.last = reader.meta.lastIncludedIndex;
  }

  async #read(reader: SnapshotReader): Promise<string> {
    const [, version, text] = /^(\d)\|(.*)$/.exec(await readText(reader)) ?? [];
    if (version === undefined) throw new SnapshotError("MALFORMED", "This is no state");
    if (Number(version) > this.version) throw new SnapshotError("UNSUPPORTED", `It is of version ${version}`);
    return text!;
  }
}

/** What comes from another node. */
export type Sent = "good" | "newer" | "not loadable" | "bad at source";

/** Everything that there is, and what was promised. */
export class World {
  version: Version;
  readonly checks: boolean;
  readonly log: MemoryLog = new MemoryLog();
  /** Snapshots that cannot be read now, and why. */
  readonly unreadable: Map<bigint, "EIO" | "EACCES"> = new Map();
  readonly clock: FakeClock = new FakeClock();
  /** The other member: what it has, and whether it was heard of just now. */
  match = 0n;
  alive = true;
  acknowledged = 0n;
  readonly way: string[] = [];
  /** Directories of snapshots that are not good any more. */
  readonly #rotten = new Set<string>();
  #disk: SimulatedDisk;
  #storage!: DirectoryStorage;
  #replica: Replica<Machine> | undefined;
  /** While it opens a storage, whose own reading is not what is looked at here. */
  #opening = false;

  constructor(version: Version, checks: boolean) {
    this.version = version;
    this.checks = checks;
    this.#disk = this.#diskOf(EMPTY);
  }

  get replica(): Replica<Machine> {
    return this.#replica!;
  }

  #diskOf(image: Image): SimulatedDisk {
    return new SimulatedDisk(image, { fault: (operation) => this.#fault(operation) });
  }

  #fault({ verb, path }: DiskOperation): DiskFault | undefined {
    if (this.#opening || verb !== "read" || !path.endsWith("/state")) return undefined;
    const [, index] = /snapshot_0*(\d+)\//.exec(path) ?? [];
    const code = index === undefined ? undefined : this.unreadable.get(BigInt(index));
    return code && { code, when: "before" };
  }

  /** Starts the program, of some version. Returns what it failed with. */
  async start(version: Version = this.version): Promise<unknown> {
    await this.stop();
    this.version = version;
    this.#disk = this.#diskOf(this.#disk.image);
    this.#opening = true;
    this.#storage = await DirectoryStorage.open(ROOT, { disk: this.#disk });
    this.#opening = false;
    const machine = new Machine(version, this.checks);
    const before = this.#names();
    const events: ExecutorEvent[] = [];
    try {
      this.#replica = await Replica.open({
        machine,
        log: this.log,
        storage: this.#storage,
        clock: this.clock,
        triggers: { interval: 0, entries: 0 },
        purge: { gap: 1, members: () => [{ matchIndex: this.match, lastSeen: this.#lastSeen() }] },
        onEvent: (event) => void events.push(event),
      });
    } catch (error) {
      const gone = before.filter((name) => !this.#names().includes(name));
      for (const name of gone) assert.isTrue(this.#rotten.has(name), this.#say(`${name} was moved`));
      return error;
    }
    const unusable = events.filter(({ type }) => type === "unusable").length;
    assert.isAtLeast(unusable, this.replica.status().unusable.length, this.#say("what is unusable is told of"));
    return undefined;
  }

  #lastSeen(): number {
    return this.alive ? this.clock.monotonic() : -1e9;
  }

  async stop(): Promise<void> {
    await this.#replica?.close();
    this.#replica = undefined;
  }

  /** Snapshots on the disk, newest first. */
  get snapshots(): bigint[] {
    return this.#names().map((name) => BigInt(name.slice("snapshot_".length))).reverse();
  }

  #names(): string[] {
    return namesIn(this.#disk.image, ROOT).filter((name) => name.startsWith("snapshot_"));
  }

  #path(index: bigint): string {
    return `${ROOT}/snapshot_${String(index).padStart(20, "0")}/state`;
  }

  #textOf(index: bigint): string {
    const { image } = this.#disk;
    return new TextDecoder().decode(contentOf(image.get(nodeAt(image, this.#path(index))!) as FileNode));
  }

  #isGood(index: bigint, version: Version = 2): boolean {
    const text = this.#textOf(index);
    return text === `1|${textAt(index)}` || version === 2 && text === `2|${textAt(index)}`;
  }

  /** Whether disk and log have everything that was acknowledged, without some of the snapshots. */
  has(version: Version, without: (index: bigint) => boolean = () => false): boolean {
    const { firstIndex, lastIndex } = this.log;
    const usable = this.snapshots.filter((index) => this.#isGood(index, version) && !without(index));
    return [...usable, 0n].some((index) =>
      firstIndex <= index + 1n && (index > lastIndex ? index : lastIndex) >= this.acknowledged
    );
  }

  async propose(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.acknowledged = (await this.replica.propose(DATA)).index;
  }

  async save(): Promise<unknown> {
    return await this.replica.snapshot().result.then(() => undefined, (error) => error);
  }

  async install(index: bigint, what: Sent): Promise<unknown> {
    const there = new MemoryStorage();
    const version = what === "newer" ? 2 : 1;
    const text = what === "not loadable" ? "bad" : `${version}|${textAt(index)}`;
    await commit(there, { lastIncludedIndex: index }, text);
    const bytes = await bytesOf(archive(await there.open()));
    if (what === "bad at source") bytes[bytes.length - 60]! ^= 1;
    try {
      if ((await this.replica.install(pieces(bytes))).upToDate) return "up to date";
    } catch (error) {
      return error;
    }
    assert.notEqual(what, "not loadable", this.#say("it was taken"));
    assert.notEqual(what, "bad at source", this.#say("it was taken"));
    if (index > this.acknowledged) this.acknowledged = index;
    return undefined;
  }

  /** Whether a snapshot may rot: one of those that are kept. Of two that rot unseen at the same time nobody could know. */
  mayRot(index: bigint): boolean {
    return this.snapshots.every((it) => this.#isGood(it)) && this.has(2, (it) => it === index);
  }

  /** A byte of a snapshot changes on the disk. */
  async rot(index: bigint): Promise<void> {
    this.#opening = true;
    const size = (await this.#disk.stat(this.#path(index)))!.size;
    await flip(this.#disk, this.#path(index), size >> 1);
    this.#opening = false;
    this.#rotten.add(`snapshot_${String(index).padStart(20, "0")}`);
  }

  /** Somebody reads all of a snapshot. */
  async verify(index: bigint): Promise<void> {
    try {
      const reader = await this.#storage.open(index);
      await reader.verify().result;
      await reader.close();
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
    }
  }

  /** Waits until nothing runs, and looks whether all holds that must hold. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20 || this.#replica !== undefined && this.replica.status().state !== "idle"; i++) {
      await yieldTurn();
    }
    assert.isTrue(this.has(2), this.#say("disk and log have not everything any more"));
    if (this.#replica === undefined) return;
    const { appliedIndex, snapshot, firstIndex } = this.replica.status();
    assert.equal(this.replica.machine.text, textAt(appliedIndex), this.#say("the state"));
    assert.isTrue(appliedIndex >= this.acknowledged, this.#say(`${this.acknowledged} was acknowledged`));
    const listed = await this.#storage.list();
    if (snapshot !== undefined) {
      assert.isTrue(
        listed.some(({ meta }) => meta.lastIncludedIndex === snapshot.meta.lastIncludedIndex),
        this.#say(`status names ${snapshot.meta.lastIncludedIndex}, which is not there`),
      );
    }
    const [newest] = this.snapshots;
    const base = newest ?? 0n; // what an install passed over was never here
    assert.isTrue(
      !this.alive || firstIndex <= this.match + 1n || firstIndex <= base + 1n,
      this.#say("a member needs it"),
    );
  }

  /** Starts the program again, as it must start if disk and log have everything. */
  async restart(version: Version): Promise<void> {
    const must = this.has(version, (index) => this.unreadable.has(index));
    const error = await this.start(version);
    if (error === undefined) return await this.settle();
    assert.isFalse(must, this.#say(`it does not open: ${error}`));
    assert.instanceOf(error, SnapshotError, this.#say(String(error)));
    // What failed may pass, and the newer program may be back: nothing was lost by trying.
    this.unreadable.clear();
    const again = await this.start(2);
    assert.isUndefined(again, this.#say(`it does not open though all is there again: ${again}`));
    await this.settle();
  }

  #say(what: string): string {
    return `${what} [version ${this.version}, ${
      this.checks ? "" : "no "
    }check, log ${this.log.firstIndex} to ${this.log.lastIndex}, snapshots ${this.snapshots}]: ${this.way.join("; ")}`;
  }
}
