// A replica whose machine keeps its state in a database: what that has applied is in the same write as its data, and it is
// never applied again, nor left out, whatever became of the snapshots.

import type { Engine } from "../../src/extend.ts";
import {
  jsonCodec,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Replica,
  SnapshotError,
  type StateMachine,
  StoredState,
  stringKeys,
} from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { type Database, databases } from "../support/databases.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { commit, saved, saveTo } from "../support/states.ts";
import { inTemp } from "../support/temp.ts";
import { command, contentAfter, described, openWords, stateAfter, type Words } from "../support/words.ts";

const FIVE = ["one", "two", "three", "two", "one"];
const triggers = { interval: 0 };

/** A place for a database, which is there again when it is opened again; also one in memory. */
class Place {
  readonly directory: string;
  readonly #open: () => Promise<Database>;
  readonly #inMemory: boolean;
  #database: Database | undefined;
  readonly #opened: Words[] = [];
  readonly #kept: Kept[] = [];

  constructor(name: string, directory: string) {
    this.directory = directory;
    this.#inMemory = name === "memory-level";
    this.#open = () => databases[name]!(`${directory}/state`);
  }

  /** Opens it anew, as after a kill: nobody has closed what used it. */
  async engine(): Promise<Engine> {
    if (this.#database !== undefined && !this.#inMemory) await this.#kill(this.#database);
    if (!this.#inMemory) this.#database = undefined;
    const { engine } = this.#database ??= await this.#open();
    return this.#inMemory ? inAnotherProcess(engine) : engine;
  }

  /** Opens the machine that is in it. */
  async words(options: Parameters<typeof openWords>[1] = {}): Promise<Words> {
    const words = await openWords(await this.engine(), options);
    this.#opened.push(words);
    return words;
  }

  /** A log and a storage beside it. */
  kept(): Kept {
    const kept = new Kept();
    this.#kept.push(kept);
    return kept;
  }

  async #kill({ engine, close }: Database): Promise<void> {
    await engine.close().catch(() => {}); // it may be closed with the state
    await close();
  }

  async cleanUp(): Promise<void> {
    for (const kept of this.#kept) await kept.close();
    for (const { state } of this.#opened) await state.close().catch(() => {}); // of those that were killed none can be
    if (this.#database !== undefined) await this.#kill(this.#database);
  }
}

/** The same database as another process has it, after one that was killed: nobody here has it open. */
function inAnotherProcess(engine: Engine): Engine {
  return overriding(engine, { store: { database: {}, part: "" } });
}

/** Calls with a place for a database of each kind. */
function placeTest(what: string, body: (place: Place) => Promise<void>): void {
  for (const name of Object.keys(databases)) {
    test(`applied once, in ${name}: ${what}`, () =>
      inTemp(async (directory) => {
        const place = new Place(name, directory);
        try {
          await body(place);
        } finally {
          await place.cleanUp();
        }
      }));
  }
}

/** Calls with a place for a database in memory. */
function memoryTest(what: string, body: (place: Place) => Promise<void>): void {
  test(`applied once: ${what}`, async () => {
    const place = new Place("memory-level", "");
    try {
      await body(place);
    } finally {
      await place.cleanUp();
    }
  });
}

/** A storage that keeps what is in it when a replica closes it; and what a replica finds there. */
class Kept {
  readonly storage = new MemoryStorage({ retain: 2 });
  readonly log = new MemoryLog();
  /** Indices of snapshots whose bytes went bad. */
  readonly rotten = new Set<bigint>();
  readonly opened: bigint[] = [];
  readonly #replicas: Replica<StateMachine>[] = [];

  /** Closes what was opened, also what is taken for killed. */
  async close(): Promise<void> {
    for (const replica of this.#replicas) await replica.close();
  }

  async open(machine: StateMachine): Promise<Replica<StateMachine>> {
    const { storage, rotten, opened } = this;
    const replica = await Replica.open({
      machine,
      log: this.log,
      storage: overriding(storage, {
        close: () => Promise.resolve(),
        async open(choice) {
          const index = choice as bigint; // a replica names each
          opened.push(index);
          if (rotten.has(index)) throw new SnapshotError("CORRUPT", "It has rotted", { index });
          return await storage.open(index);
        },
      }),
      triggers,
      purge: { gap: 1 },
    });
    this.#replicas.push(replica);
    return replica;
  }
}

async function proposeAll(replica: Replica<StateMachine>, words: readonly string[]): Promise<void> {
  await Promise.all(words.map((word) => replica.propose(command(word))));
}

async function check(words: Words, said: readonly string[], what: string): Promise<void> {
  assert.equal(await words.content(), await contentAfter(said), what);
}

placeTest("five commands, no snapshot yet, and restarts: five commands", async (place) => {
  const path = `${place.directory}/snapshots`;
  for (let round = 0; round < 3; round++) {
    const words = await place.words();
    const replica = await Replica.open({
      machine: words.machine,
      log: await SqliteLog.open(`${place.directory}/log.db`),
      storage: await DirectoryStorage.open(path, { durability: "none" }),
      triggers,
    });
    if (round === 0) await proposeAll(replica, FIVE);
    assert.equal(replica.status().appliedIndex, 5n);
    await check(words, FIVE, `round ${round}`);
    await replica.close();
    await words.state.flush();
    assert.equal(described(words.state.durable()), "5/1");
  }
});

placeTest("the only snapshot rotted, and the log begins after it", async (place) => {
  const kept = place.kept();
  const before = await place.words();
  const replica = await kept.open(before.machine);
  await proposeAll(replica, FIVE);
  await replica.snapshot().result;
  await proposeAll(replica, FIVE);
  await before.state.flush();
  await kept.log.purge(5n);
  kept.rotten.add(5n);
  const after = await place.words();
  await kept.open(after.machine);
  await check(after, [...FIVE, ...FIVE], "afterwards");
  assert.deepEqual(kept.opened, [], "what is not newer is not read");
});

placeTest("what was not written yet comes out of the log, once", async (place) => {
  const kept = place.kept();
  const before = await place.words();
  const replica = await kept.open(before.machine);
  await proposeAll(replica, FIVE);
  await before.state.flush();
  await proposeAll(replica, FIVE);
  await before.state.close(); // the log has what follows, as after a crash that took back the last writes
  const entries = ["six", "seven"].map((word, i): LogEntry => ({
    index: BigInt(11 + i),
    term: 1n,
    data: command(word),
  }));
  await kept.log.append(entries);
  const after = await place.words();
  assert.equal(described(after.state.durable()), "10/1");
  await kept.open(after.machine);
  await check(after, [...FIVE, ...FIVE, "six", "seven"], "afterwards");
});

placeTest("a newer snapshot is loaded, an older one never is", async (place) => {
  const kept = place.kept();
  const before = await place.words();
  const replica = await kept.open(before.machine);
  await proposeAll(replica, FIVE);
  await replica.snapshot().result;
  await proposeAll(replica, ["six"]);
  await replica.snapshot().result;
  await before.state.flush();
  // Another process installs one meanwhile.
  await saveTo(await stateAfter(["another"]), kept.storage, 9n);
  const after = await place.words();
  const second = await kept.open(after.machine);
  await check(after, ["another"], "the newer one");
  assert.equal(described(after.state.durable()), "9/1 of , loaded");
  await proposeAll(second, ["ten"]);
  await after.state.flush();
  assert.equal(described(after.state.durable()), "10/1 of ");
  kept.rotten.add(9n);
  kept.opened.length = 0;
  const again = await place.words();
  await kept.open(again.machine);
  await check(again, ["another", "ten"], "not an older one");
  assert.deepEqual(kept.opened, []);
  await rejects(again.state.load(await saved(await stateAfter(["old"]))), "STALE");
  await check(again, ["another", "ten"], "nor by hand");
});

memoryTest(
  "the snapshot that is there counts as the newest, and is tried before anything of the log goes",
  async (place) => {
    const kept = place.kept();
    const before = await place.words();
    const replica = await kept.open(before.machine);
    await proposeAll(replica, FIVE);
    await replica.snapshot().result;
    await replica.close();
    const after = await place.words();
    const second = await kept.open(after.machine);
    assert.equal(second.status().snapshot?.meta.lastIncludedIndex, 5n);
    assert.isFalse((await second.snapshot().result).taken, "there is nothing to save");
    await proposeAll(second, ["six"]);
    assert.deepEqual(kept.opened, [], "nobody has read it");
    await second.snapshot().result;
    assert.deepEqual([kept.opened, kept.log.firstIndex], [[5n], 6n]);
    await second.close();
    kept.rotten.add(6n);
    const last = await place.words();
    const third = await kept.open(last.machine);
    await proposeAll(third, ["seven"]);
    await third.snapshot().result; // 6 is found bad now, and the log is kept from 5 on
    assert.deepEqual([third.status().snapshot?.meta.lastIncludedIndex, kept.log.firstIndex], [7n, 6n]);
    await check(last, [...FIVE, "six", "seven"], "in the end");
  },
);

placeTest("the membership is known without a snapshot, and counts as applied", async (place) => {
  const kept = place.kept();
  const before = await place.words();
  const replica = await kept.open(before.machine);
  await proposeAll(replica, ["one"]);
  await replica.reconfigure({ peers: ["a", "b"], oldPeers: ["c"] });
  await before.state.flush();
  await kept.log.purge(2n);
  const after = await place.words();
  const second = await kept.open(after.machine);
  const { appliedIndex, configuration } = second.status();
  assert.deepEqual({ appliedIndex, configuration }, {
    appliedIndex: 2n,
    configuration: { peers: ["a", "b"], oldPeers: ["c"] },
  });
  await proposeAll(second, ["two"]);
  await check(after, ["one", "two"], "afterwards");
});

placeTest("an entry that cannot be applied changes nothing, also half-way", async (place) => {
  const words = await place.words();
  const { state, machine } = words;
  await machine.apply({ index: 1n, term: 1n, data: command("one") });
  const failing = state.apply({ index: 2n, term: 1n, data: command("two") }, async () => {
    const counts = state.value("half", jsonCodec<number>());
    await counts.set("a", 1);
    assert.equal(await counts.get("a"), 1);
    throw new Error("half-way");
  });
  assert.include(String(await failing.catch((error) => error)), "half-way");
  await state.flush();
  assert.equal(described(state.durable()), "1/1");
  await machine.apply({ index: 1n, term: 1n, data: command("one") }); // passed over
  await rejects(Promise.resolve(machine.apply({ index: 3n, term: 1n, data: command("two") })), "MALFORMED"); // a gap
  await rejects(Promise.resolve(machine.apply({ index: 1n, term: 2n, data: command("two") })), "MALFORMED");
  await machine.apply({ index: 2n, term: 1n, data: command("two") });
  await check(words, ["one", "two"], "in the end");
  await state.close();
});

placeTest("a save has what was applied, written or not, and deltas have it too", async (place) => {
  const words = await place.words({ incremental: { maxShare: 100 } });
  const storage = new MemoryStorage();
  const said: string[] = [];
  for (let round = 1; round <= 6; round++) {
    for (let i = 0; i < 40; i++) {
      said.push(`word ${said.length * 7 % 23}`);
      await words.machine.apply({ index: BigInt(said.length), term: 1n, data: command(said.at(-1)!) });
    }
    const task = words.machine.save()!; // in the same turn
    said.push("later");
    const later = words.machine.apply({ index: BigInt(said.length), term: 1n, data: command("later") });
    const { files } = await commit(task, storage, BigInt(said.length - 1));
    await later;
    assert.equal(files, round);
    const other = await databases["memory-level"]!("");
    const loaded = await openWords(other.engine);
    await loaded.state.load(await storage.open());
    await check(loaded, said.slice(0, -1), `snapshot of round ${round}`);
    assert.equal(described(loaded.state.durable()), `${said.length - 1}/1 of , loaded`);
    await check(words, said, `round ${round}`);
  }
  await words.state.close();
});

placeTest("many entries are one write, and hold no more than a few in memory", async (place) => {
  const engine = await place.engine();
  let [writes, largest] = [0, 0];
  const counting = overriding(engine, {
    write(changes) {
      writes++;
      largest = Math.max(largest, changes.length);
      return engine.write(changes);
    },
  });
  const words = await openWords(counting);
  const said = Array.from({ length: 2000 }, (_, i) => `word ${i % 20}`);
  for (const [i, word] of said.entries()) {
    await words.machine.apply({ index: BigInt(i + 1), term: 1n, data: command(word) });
  }
  await words.state.flush();
  assert.isBelow(writes, 1000);
  assert.isBelow(largest, 300);
  await check(words, said, "all of them");
  await words.state.close();
});

test("applied once: a log that was lost, or is another one, is not taken for the one of the machine", () =>
  inTemp(async (directory) => {
    const place = new Place("SQLite", directory);
    const first = place.kept();
    const before = await place.words();
    const replica = await first.open(before.machine);
    await proposeAll(replica, FIVE);
    await before.state.close();
    const withEntries = async (count: number, term: bigint) => {
      const kept = place.kept();
      const word = (index: number): LogEntry => ({ index: BigInt(index + 1), term, data: command("other") });
      await kept.log.append(Array.from({ length: count }, (_, i) => word(i)));
      return kept;
    };
    const refused = async (kept: Kept, code: "UNAVAILABLE" | "MALFORMED" | "CORRUPT", text: string) => {
      const { firstIndex, lastIndex } = kept.log;
      const words = await place.words();
      const error = await rejects(kept.open(words.machine), code);
      assert.include(error.message, text);
      assert.deepEqual([kept.log.firstIndex, kept.log.lastIndex], [firstIndex, lastIndex], "nothing of it was dropped");
      await check(words, FIVE, "nor of the state");
    };
    await refused(await withEntries(3, 1n), "UNAVAILABLE", "ends with 3");
    await refused(await withEntries(8, 2n), "MALFORMED", "not the log of this machine");
    const later = place.kept();
    await later.log.reset(9n, 1n);
    await refused(later, "CORRUPT", "Entries 6 to 9");
    const newerTerm = place.kept();
    await newerTerm.log.reset(3n, 7n);
    await refused(newerTerm, "UNAVAILABLE", "ends with 3");
    // A log that never had an entry has none that could be lost: one in memory, after a restart.
    const empty = place.kept();
    const words = await place.words();
    const second = await empty.open(words.machine);
    await proposeAll(second, ["six"]);
    assert.equal(empty.log.lastIndex, 6n);
    await check(words, [...FIVE, "six"], "in the end");
    await words.state.flush();
    await place.cleanUp();
  }));

memoryTest("a crash between a load and the log's change-over, and the snapshot rotted", async (place) => {
  const kept = place.kept();
  const before = await place.words();
  const replica = await kept.open(before.machine);
  await proposeAll(replica, FIVE);
  await before.state.flush();
  await saveTo(await stateAfter(["another"]), kept.storage, 20n);
  await before.state.load(await kept.storage.open()); // and then the crash: the log ends with 5
  await kept.storage.quarantine(20n, "It has rotted");
  const after = await place.words();
  const second = await kept.open(after.machine);
  assert.deepEqual([kept.log.firstIndex, kept.log.lastIndex], [21n, 20n]);
  await proposeAll(second, ["next"]);
  await check(after, ["another", "next"], "afterwards");
});

memoryTest("a machine that applies without saying what it has is refused before it changes anything", async (place) => {
  const state = await StoredState.open(await place.engine(), { keys: stringKeys() });
  const counts = state.value("counts", jsonCodec<number>());
  const outside: StateMachine = {
    apply: async () => await counts.set("n", (await counts.get("n") ?? 0) + 1),
    save: () => state.save(),
    load: (reader) => state.load(reader),
  };
  const refuse = async (machine: StateMachine, text: string) => {
    const kept = place.kept();
    const replica = await kept.open(machine);
    assert.include((await rejects(replica.propose(command("x")), "UNAVAILABLE")).message, text);
    assert.isUndefined(await counts.get("n"));
  };
  await refuse(outside, "does not say by `durable`");
  await refuse({ ...outside, apply: (entry) => state.apply(entry, () => counts.set("n", 1)) }, "does not say by");
  await refuse({ ...outside, apply: () => counts.set("n", 1) }, "does not say by");
  const late: StateMachine = { // nothing tells whose change it is; but it is neither saved nor loaded
    ...outside,
    async apply() {
      await Promise.resolve();
      await counts.delete("n");
    },
  };
  const kept = place.kept();
  const replica = await kept.open(late);
  await replica.propose(command("x"));
  await rejects(replica.snapshot().result, "MALFORMED");
  const half = await kept.open({ ...outside, durable: () => ({ index: 0n, term: 0n }) }).catch((error) => error);
  assert.include(half.message, "no `reconfigure`");
});

memoryTest("a replica's state is changed by its log alone", async (place) => {
  const state = await StoredState.open(await place.engine(), { keys: stringKeys() });
  const counts = state.value("counts", jsonCodec<number>());
  const machine: StateMachine = {
    ...state.machine(() => {}),
    async apply() {
      await Promise.resolve();
      await counts.set("n", 1);
    },
  };
  const replica = await place.kept().open(machine);
  assert.include((await rejects(replica.propose(command("x")), "UNAVAILABLE")).message, "outside of `state.apply");
  await rejects(counts.set("n", 1), "MALFORMED");
  assert.isUndefined(await counts.get("n"));
});

memoryTest("a state of which nothing says what it has is not applied to; a snapshot may replace it", async (place) => {
  const state = await StoredState.open(await place.engine(), { keys: stringKeys() });
  await state.value("counts", jsonCodec<number>()).set("by hand", 1);
  assert.isUndefined(state.durable());
  await rejects(state.apply({ index: 1n, term: 1n, data: command("x") }), "MALFORMED");
  const words = await place.words();
  const kept = place.kept();
  await kept.log.append([{ index: 1n, term: 1n, data: command("one") }]);
  const error = await rejects(kept.open(words.machine), "MALFORMED");
  assert.include(error.message, "not known which entries");
  await saveTo(await stateAfter(["one"]), kept.storage, 1n);
  const replica = await kept.open(words.machine);
  await proposeAll(replica, ["two"]);
  await check(words, ["one", "two"], "in the end");
});

memoryTest("a machine that says something else than it has loaded is refused", async (place) => {
  const kept = place.kept();
  await saveTo(await stateAfter(["one"]), kept.storage, 7n);
  const machine: StateMachine = {
    apply: () => {},
    reconfigure: () => {},
    flush: () => {},
    check: () => Promise.resolve(),
    durable: () => ({ index: 0n, term: 0n }),
    save: () => undefined,
    load: () => Promise.resolve(),
  };
  assert.include((await rejects(kept.open(machine), "MALFORMED")).message, "must write both in one transaction");
});

memoryTest("a state that is changed by hand goes on as before", async (place) => {
  const words = await place.words();
  const counts = words.state.value("by hand", jsonCodec<number>());
  await words.machine.apply({ index: 1n, term: 1n, data: command("one") });
  await counts.set("a", 1); // what was applied before is written before
  assert.equal(described(words.state.durable()), "1/1");
  await words.state.apply({ index: 2n, term: 1n, data: command("") }, () => counts.set("a", 2));
  await counts.set("a", 3);
  await words.state.flush();
  assert.equal(await counts.get("a"), 3);
  await words.state.load(await saved(await stateAfter(["x"])), await saved(await stateAfter(["x"]))).catch(() => {});
  await words.state.load(await saved(await stateAfter(["older"]))); // nobody but its owner forbids that
  await check(words, ["older"], "loaded");
});

memoryTest(
  "a database that fails for a while is written to later; one that goes on failing stops it",
  async (place) => {
    const database = await place.engine();
    let failing = false;
    const engine: Engine = {
      getMany: (keys) => database.getMany(keys),
      entries: (from, to) => database.entries(from, to),
      clear: (from, to) => database.clear(from, to),
      view: () => database.view(),
      close: () => database.close(),
      codeOf: () => "NO_SPACE",
      write: (changes) => failing ? Promise.reject(new Error("no space")) : database.write(changes),
    };
    const words = await openWords(engine);
    const kept = place.kept();
    const replica = await kept.open(words.machine);
    const said = ["one"];
    await proposeAll(replica, said);
    failing = true;
    said.push("two", "three");
    await proposeAll(replica, ["two", "three"]);
    await rejects(words.state.flush(), "NO_SPACE");
    await check(words, said, "while it fails");
    const { snapshot } = await replica.snapshot().result;
    assert.equal(snapshot!.meta.lastIncludedIndex, 3n);
    failing = false;
    said.push("four");
    await proposeAll(replica, ["four"]);
    await words.state.flush();
    assert.equal(described(words.state.durable()), "4/1");
    failing = true;
    const many = Array.from({ length: 2000 }, (_, i) => `word ${i}`);
    await rejects(proposeAll(replica, many), "UNAVAILABLE");
    await rejects(words.state.close(), "NO_SPACE");
    failing = false;
    const after = await openWords(engine);
    await kept.open(after.machine);
    const appended = Number(kept.log.lastIndex) - said.length;
    assert.isAbove(appended, 0);
    await check(after, [...said, ...many.slice(0, appended)], "all that the log has");
  },
);
