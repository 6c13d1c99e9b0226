// The state in a database is of one group, and has one owner.

import { symlinkSync } from "node:fs";
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
} from "../../mod.ts";
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

test("a state in SQLite: one that cannot be opened leaves no lock", () =>
  inTemp(async (directory) => {
    const path = `${directory}/state.db`;
    await rejects(() => sqliteEngine(path, { table: "sqlite_schema" }), "UNAVAILABLE");
    for (let i = 0; i < 2; i++) await sqliteEngine(path).close();
    await rejects(() => sqliteEngine(path, { table: "sqlite_schema" }), "UNAVAILABLE");
  }));
