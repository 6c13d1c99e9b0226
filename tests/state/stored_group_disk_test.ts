// The state in a database is of one group, and has one owner.

import { ClassicLevel } from "classic-level";
import { symlinkSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import {
  type LogStorage,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SnapshotReader,
  type SnapshotStorage,
  type StateMachine,
  StoredState,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { type LevelDatabase, levelEngine } from "../../src/level.ts";
import { sqliteEngine } from "../../src/sqlite.ts";
import { databases } from "../support/databases.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { saveTo } from "../support/states.ts";
import { inTemp } from "../support/temp.ts";
import { command, contentAfter, openWords, stateAfter, type Words } from "../support/words.ts";

interface Kept {
  readonly log: LogStorage;
  readonly storage: SnapshotStorage;
}

/** A log and a storage that have nothing yet. */
const empty = (): Kept => ({ log: new MemoryLog(), storage: new MemoryStorage() });

function open(words: Words, group: string | undefined, kept = empty()): Promise<Replica<StateMachine>> {
  return Replica.open({
    ...kept,
    machine: words.machine,
    triggers: { interval: 0 },
    ...(group !== undefined && { group }),
  });
}

/** A snapshot of a group, or of none. */
async function snapshotOf(words: readonly string[], group: string | undefined): Promise<SnapshotReader> {
  const storage = new MemoryStorage(group === undefined ? {} : { group }); // gives its name to what is saved there
  await saveTo(await stateAfter(words), storage, 1n);
  return await storage.open();
}

for (const [name, openDatabase] of Object.entries(databases)) {
  const groupTest = (what: string, body: (reopen: () => Promise<Words>) => Promise<void>) =>
    test(`a state of a group, in ${name}: ${what}`, () =>
      inTemp(async (directory) => {
        const database = await openDatabase(`${directory}/state`);
        const isShared = name === "memory-level"; // it is gone once it is closed
        let current = database;
        let words = undefined as Words | undefined;
        await body(async () => {
          await words?.state.close();
          if (words !== undefined && !isShared) {
            await current.close();
            current = await openDatabase(`${directory}/state`);
          }
          return words = await openWords(current.engine);
        });
        await words?.state.close();
        await current.close();
      }));

  groupTest("another group's replica does not open with it, beside an empty log and storage", async (reopen) => {
    const replica = await open(await reopen(), "users");
    await replica.propose(command("one"));
    await replica.close();
    for (const group of ["orders", "user", "users "]) {
      const [words, { log, storage }] = [await reopen(), empty()];
      const error = await rejects(open(words, group, { log, storage }), "FORBIDDEN");
      assert.match(error.message, /is of group "users"/);
      assert.deepEqual([log.group, storage.group], [undefined, undefined], "nothing was bound");
      assert.equal(await words.content(), await contentAfter(["one"]));
    }
    const ofOrders = new MemoryStorage({ group: "orders" });
    await rejects(open(await reopen(), undefined, { ...empty(), storage: ofOrders }), "FORBIDDEN");
    const again = await open(await reopen(), "users");
    assert.equal(again.status().appliedIndex, 1n);
    await again.close();
  });

  groupTest("a replica that names none is of the group of its state", async (reopen) => {
    await (await open(await reopen(), "users")).close();
    const kept = empty();
    const replica = await open(await reopen(), undefined, kept);
    assert.deepEqual([kept.log.group, kept.storage.group], ["users", "users"]);
    await replica.close();
  });

  groupTest("a state that has had no group is bound by the first that comes", async (reopen) => {
    const replica = await open(await reopen(), undefined);
    await replica.propose(command("one"));
    await replica.close();
    await (await open(await reopen(), "users")).close();
    await rejects(open(await reopen(), "orders"), "FORBIDDEN");
  });

  groupTest("what is loaded says its group in the write that changes over", async (reopen) => {
    const words = await reopen();
    const [ofUsers, ofOrders, ofNone] = [
      await snapshotOf(["one"], "users"),
      await snapshotOf(["two"], "orders"),
      await snapshotOf(["three"], undefined),
    ];
    const groupNow = async () => (await reopen()).state.durable()?.group;
    await words.state.load(ofUsers);
    assert.equal(await groupNow(), "users");
    // Nobody's replica has it: it becomes what it is replaced by.
    await (await reopen()).state.load(ofOrders);
    assert.equal(await groupNow(), "orders");
    await (await reopen()).state.load(ofNone);
    assert.equal(await groupNow(), undefined);
    await (await reopen()).state.load(ofUsers);
    const replica = await open(await reopen(), "users", { ...empty(), log: await logAfter(ofUsers) });
    await rejects(replica.machine.load(ofOrders), "FORBIDDEN");
    await replica.machine.load(ofNone);
    await replica.close();
    assert.equal(await groupNow(), "users");
    for (const reader of [ofUsers, ofOrders, ofNone]) await reader.close();
  });
}

async function logAfter({ manifest }: SnapshotReader): Promise<MemoryLog> {
  const log = new MemoryLog();
  await log.reset(manifest.meta.lastIncludedIndex, manifest.meta.lastIncludedTerm);
  return log;
}

test("a state of a group: what names none is MALFORMED, and what cannot be written does not count", () =>
  inTemp(async (directory) => {
    const engine = sqliteEngine(`${directory}/state.db`);
    let isFull = true;
    const full = () => Promise.reject(new Error("database or disk is full"));
    const write = engine.write.bind(engine);
    engine.write = (changes) => isFull ? full() : write(changes);
    const state = await StoredState.open(engine, { keys: stringKeys() });
    for (const wrong of ["", "a\0", "\ud800"]) await rejects(state.bindGroup(wrong), "MALFORMED");
    await rejects(state.bindGroup("users"), "NO_SPACE");
    isFull = false;
    await state.bindGroup("orders");
    await rejects(state.bindGroup("users"), "FORBIDDEN");
    await state.close();
    await rejects(state.bindGroup("orders"), "CLOSED");
  }));

test("a state in SQLite: a second one on the same table is BUSY, by whatever path, until the first is closed", () =>
  inTemp(async (directory) => {
    const path = `${directory}/state.db`;
    const first = sqliteEngine(path);
    symlinkSync(path, `${directory}/link.db`);
    for (const same of [path, `${directory}/./state.db`, `${directory}/link.db`]) {
      const error = await rejects(() => sqliteEngine(same), "BUSY");
      assert.match(error.message, /state\.db-lock is locked/);
    }
    await rejects(() => sqliteEngine(path, { table: "keyed_state" }), "BUSY");
    const other = sqliteEngine(path, { table: "Other/table" });
    await rejects(() => sqliteEngine(path, { table: "other/TABLE" }), "BUSY");
    await first.write([{ key: Uint8Array.of(1), value: Uint8Array.of(1) }]);
    await first.close();
    const second = sqliteEngine(path);
    assert.deepEqual(await second.getMany([Uint8Array.of(1)]), [Uint8Array.of(1)]);
    await second.close();
    await other.close();
  }));

for (const [name, openDatabase] of Object.entries(databases)) {
  test(`a state in ${name}: a second one of the same engine is BUSY, until the first is closed or could not be opened`, () =>
    inTemp(async (directory) => {
      const { engine, close } = await openDatabase(`${directory}/state`);
      const open = (keys = stringKeys()) => StoredState.open(engine, { keys });
      const first = await open();
      await first.value("a", utf8Codec()).set("x", "1");
      assert.match((await rejects(open(), "BUSY")).message, /Another state has the database open/);
      if (name !== "SQLite") { // its engine is closed with the state
        await first.close();
        await rejects(StoredState.open(engine, { keys: stringKeys(), maxParallelism: 7 }), "MALFORMED");
        const second = await open();
        assert.equal(await second.value("a", utf8Codec()).get("x"), "1");
        await second.close();
      } else await first.close();
      await close();
    }));
}

test("a state in LevelDB: a second engine of the same database, or of the same part of one, gets no state", () =>
  inTemp(async (directory) => {
    const database = new ClassicLevel(`${directory}/state`);
    const open = async (part: LevelDatabase) => await StoredState.open(await levelEngine(part), { keys: stringKeys() });
    const whole = await open(database);
    await rejects(open(database), "BUSY");
    const part = await open(database.sublevel("a"));
    await rejects(open(database.sublevel("a")), "BUSY");
    const other = await open(database.sublevel("b").sublevel("a"));
    await rejects(open(database.sublevel(["b", "a"])), "BUSY");
    for (const state of [whole, part, other]) await state.close();
    await (await open(database.sublevel("a"))).close();
    await database.close();
  }));

test("a state in SQLite: nothing is written any more when its lock, or its file, was removed or replaced", () =>
  inTemp(async (directory) => {
    const path = `${directory}/state.db`;
    const change = [{ key: Uint8Array.of(1), value: Uint8Array.of(1) }];
    const first = sqliteEngine(path);
    await first.write(change);
    await rm(`${path}-lock`);
    assert.match((await rejects(first.write(change), "BUSY")).message, /The lock beside .* was removed/);
    const second = sqliteEngine(path);
    await rejects(first.write(change), "BUSY");
    await rejects(first.clear(Uint8Array.of(0), Uint8Array.of(9)), "BUSY");
    await second.write(change);
    await first.close();
    assert.deepEqual(await second.getMany([Uint8Array.of(1)]), [Uint8Array.of(1)]);
    await rename(path, `${path}.old`);
    await rejects(second.write(change), "UNAVAILABLE");
    await writeFile(path, "");
    await rejects(second.write(change), "UNAVAILABLE");
    await rm(path);
    await rename(`${path}.old`, path);
    await second.write(change);
    await second.close();
  }));

test("a state in SQLite: one that cannot be opened leaves no lock", () =>
  inTemp(async (directory) => {
    const path = `${directory}/state.db`;
    await rejects(() => sqliteEngine(path, { table: "sqlite_schema" }), "UNAVAILABLE");
    for (let i = 0; i < 2; i++) await sqliteEngine(path).close();
    await rejects(() => sqliteEngine(path, { table: "sqlite_schema" }), "UNAVAILABLE");
  }));
