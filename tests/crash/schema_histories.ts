// Random histories of three releases of a program on one log and its snapshots: upgrades, downgrades, restarts, saves,
// commands of other releases. No acknowledged command may be applied in another schema than its own, or be lost.

import { MemoryLevel } from "memory-level";
import { type LogEntry, MemoryLog, Replica, StoredState, stringKeys } from "../../mod.ts";
import { hasCode } from "../../src/errors.ts";
import { levelEngine } from "../../src/state/database/level.ts";
import { Random } from "../support/random.ts";
import {
  CODECS,
  KeyedUsers,
  KeyValueUsers,
  LastingStorage,
  type Release,
  RELEASES,
  StoredUsers,
  userOf,
  type Users,
} from "../support/schemas.ts";

/** Makes an empty machine of a release. */
export type MakeUsers = (release: Release) => Users | Promise<Users>;

/** Counts. */
export interface SchemaCounts {
  histories: number;
  /** Commands that were acknowledged. */
  acknowledged: number;
  /** Commands that were refused as newer, before they were appended. */
  refused: number;
  opened: number;
  /** Times a release did not open, since there was something newer. */
  notOpened: number;
  snapshots: number;
}

/** Nothing yet. */
export function noSchemaCounts(): SchemaCounts {
  return { histories: 0, acknowledged: 0, refused: 0, opened: 0, notOpened: 0, snapshots: 0 };
}

const KEYS = ["a", "b", "c", "d", "e"];

/** Plays a history; throws at the first violation. */
export async function playSchemas(make: MakeUsers, seed: number, length: number, counts: SchemaCounts): Promise<void> {
  const history = new History(make, new Random(seed), counts);
  await history.play(length);
  counts.histories++;
}

class History {
  readonly #make: MakeUsers;
  readonly #random: Random;
  readonly #counts: SchemaCounts;
  readonly #log = new MemoryLog();
  readonly #storage = new LastingStorage();
  /** The acknowledged entries, and the release that wrote each. */
  readonly #model = new Map<string, { readonly name: string; readonly wrote: Release }>();
  /** The releases that wrote the entries, and took the snapshots. */
  readonly #entries = new Map<bigint, Release>();
  readonly #snapshots = new Map<bigint, Release>();
  #release: Release = 0;
  #replica: Replica<Users> | undefined;
  #number = 0;

  constructor(make: MakeUsers, random: Random, counts: SchemaCounts) {
    this.#make = make;
    this.#random = random;
    this.#counts = counts;
  }

  async play(length: number): Promise<void> {
    await this.#open(this.#random.pick(RELEASES));
    for (let i = 0; i < length; i++) await this.#step();
    await this.#open(2); // the newest reads everything
    await this.#replica?.close();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    if (this.#replica === undefined || random.chance(0.15)) return await this.#open(random.pick(RELEASES));
    if (random.chance(0.12)) return await this.#snapshot(this.#replica);
    const wrote = random.chance(0.7) ? this.#release : random.pick(RELEASES);
    await this.#command(this.#replica, wrote, random.chance(0.3));
  }

  /** A command of a release: proposed, or an entry that another replica gives. */
  async #command(replica: Replica<Users>, wrote: Release, isGiven: boolean): Promise<void> {
    const client = await this.#make(wrote);
    const key = this.#random.pick(KEYS);
    const name = `${key}${this.#number++}`;
    const isPut = this.#random.chance(0.8);
    const data = isPut ? client.put(key, userOf(name, wrote)) : client.delete(key);
    const index = this.#log.lastIndex + 1n;
    const entry: LogEntry = { index, term: 1n, data };
    try {
      await (isGiven ? replica.append([entry]) : replica.propose(data));
    } catch (error) {
      must(hasCode(error, "UNSUPPORTED") && wrote > this.#release, `release ${this.#release} refuses ${wrote}`, error);
      must(this.#log.lastIndex === index - 1n, "what is refused is not appended");
      this.#counts.refused++;
      return await this.#check(replica);
    }
    must(wrote <= this.#release, `release ${this.#release} acknowledges what ${wrote} wrote`);
    this.#entries.set(index, wrote);
    if (isPut) this.#model.set(key, { name, wrote });
    else this.#model.delete(key);
    this.#counts.acknowledged++;
    await this.#check(replica);
  }

  async #snapshot(replica: Replica<Users>): Promise<void> {
    const { snapshot, taken } = await replica.snapshot().result;
    if (!taken) return;
    this.#snapshots.set(snapshot!.meta.lastIncludedIndex, this.#release);
    this.#counts.snapshots++;
  }

  /** Stops the release that runs, and starts another one. */
  async #open(release: Release): Promise<void> {
    await this.#replica?.close();
    this.#replica = undefined;
    this.#release = release;
    const before = await this.#picture();
    try {
      this.#replica = await Replica.open({
        machine: await this.#make(release),
        log: this.#log,
        storage: this.#storage,
        triggers: { interval: 0 },
        purge: { gap: 1 },
      });
    } catch (error) {
      must(hasCode(error, "UNSUPPORTED"), `release ${release} does not open`, error);
      must(await this.#newest() > release, `release ${release} does not open, and there is nothing newer`, error);
      must(await this.#picture() === before, `release ${release} does not open, and leaves everything as it is`);
      this.#counts.notOpened++;
      return;
    }
    this.#counts.opened++;
    await this.#check(this.#replica);
  }

  /** Checks that a replica has what was acknowledged, in the schema of its release. */
  async #check(replica: Replica<Users>): Promise<void> {
    const content = await replica.machine.content();
    const shown = (it: object) => JSON.stringify(it, (_, value) => isObject(value) ? sorted(value) : value);
    for (const [key, { wrote }] of this.#model) {
      must(wrote <= this.#release, `release ${this.#release} runs with ${key}, which ${wrote} wrote`);
    }
    const expected = Object.fromEntries(
      [...this.#model].map(([key, { name, wrote }]) => [key, userOf(name, wrote, this.#release)]),
    );
    must(shown(content) === shown(expected), `release ${this.#release} has ${shown(content)}, not ${shown(expected)}`);
  }

  /** The newest release that had a part in what there is. */
  async #newest(): Promise<Release> {
    let newest: Release = 0;
    const see = (release: Release | undefined) => newest = Math.max(newest, release ?? 0) as Release;
    for (let index = this.#log.firstIndex; index <= this.#log.lastIndex; index++) see(this.#entries.get(index));
    for (const { meta } of await this.#storage.list()) see(this.#snapshots.get(meta.lastIncludedIndex));
    return newest;
  }

  /** All that is in log and storage. */
  async #picture(): Promise<string> {
    const lines: string[] = [];
    for await (const { index, data } of this.#log.entries(this.#log.firstIndex)) lines.push(`${index} ${data}`);
    for (const { meta, digest } of await this.#storage.list()) lines.push(`${meta.lastIncludedIndex} ${digest}`);
    return lines.join("\n");
  }
}

function must(holds: boolean, what: string, cause?: unknown): asserts holds {
  if (!holds) throw new Error(`Violated: ${what}`, { cause });
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1));
}

/** A machine of each kind. */
export const schemaMachines: Readonly<Record<string, MakeUsers>> = {
  "a KeyValueMachine": (release) => new KeyValueUsers(CODECS[release]!),
  "commands of one's own on a KeyedState": (release) => new KeyedUsers(CODECS[release]!),
  // A new database each time: one is of the release that made it, and snapshot and log are what the next one reads.
  "commands of one's own on a StoredState": async (release) => {
    const engine = await levelEngine(new MemoryLevel());
    return new StoredUsers(CODECS[release]!, await StoredState.open(engine, { keys: stringKeys() }));
  },
};
