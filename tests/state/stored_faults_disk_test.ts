// What a state in a database does when the database fails, is slow, or is closed, and what it says of its states there.

import { readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import type { Engine, StoredValue } from "../../src/extend.ts";
import { KeyedState, MemoryStorage, type SnapshotReader, StoredState, stringKeys, utf8Codec } from "../../mod.ts";
import { ChangedKeys } from "../../src/state/database/changed_keys.ts";
import { sqliteEngine } from "../../src/sqlite.ts";
import { assert, gate, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { type Database, databases } from "../support/databases.ts";
import { saved } from "../support/states.ts";

const keys = stringKeys();

/** A snapshot of a state with one value state. */
async function snapshotOf(name: string, count: number): Promise<SnapshotReader> {
  const state = new KeyedState({ keys });
  const values = state.value(name, utf8Codec());
  for (let i = 0; i < count; i++) values.set(`${i}`, `value ${i}`);
  return await saved(state);
}

/** A reader whose files stop in the middle until they are told to go on. */
function stalling(reader: SnapshotReader): { readonly reader: SnapshotReader; readonly stalled: Promise<void> } {
  const stalled = gate();
  const file: SnapshotReader["file"] = (name, range) =>
    reader.file(name, range).pipeThrough(
      new TransformStream({
        async transform(piece, controller) {
          controller.enqueue(piece);
          if (range?.start === undefined) return;
          stalled.open();
          await new Promise(() => {});
        },
      }),
    );
  const size = (name: string) => reader.size(name);
  return { reader: { manifest: reader.manifest, size, file } as SnapshotReader, stalled: stalled.promise };
}

async function count(values: StoredValue<string, string>): Promise<number> {
  let found = 0;
  for await (const _ of values.entries()) found++;
  return found;
}

for (const [name, open] of Object.entries(databases)) {
  /** Tests with a database of its own, which can be closed and opened again. */
  const databaseTest = (what: string, body: (open: () => Promise<Database>) => Promise<void>) =>
    test(`keyed state in ${name}: ${what}`, () =>
      inTemp(async (directory) => {
        let database: Database | undefined;
        try {
          await body(async () => {
            await database?.close();
            return database = await open(`${directory}/state`);
          });
        } finally {
          await database?.close();
        }
      }));

  databaseTest("closing gives up a load, even one that is stalled, and nothing is written after that", async (open) => {
    const { engine } = await open();
    const state = await StoredState.open(engine, { keys });
    await state.value("values", utf8Codec()).set("mine", "1");
    const { reader, stalled } = stalling(await snapshotOf("values", 1000));
    const loading = state.load(reader);
    loading.catch(() => {});
    await stalled;
    let ended = false;
    loading.catch(() => {}).finally(() => ended = true);
    await state.close();
    assert.isTrue(ended, "the load has ended before");
    await rejects(loading, "CLOSED");
  });

  if (name === "memory-level") continue; // what follows opens a database again

  databaseTest("a state that is declared while something is written is known when it is opened again", async (open) => {
    const first = await StoredState.open((await open()).engine, { keys });
    const a = first.value("a", utf8Codec());
    const written = a.set("k", "1");
    for (let i = 0; i < 4; i++) await Promise.resolve(); // the database is being told of the one
    const b = first.value("b", utf8Codec());
    await written;
    await b.set("k", "2");
    await first.close();
    const second = await StoredState.open((await open()).engine, { keys });
    second.value("a", utf8Codec());
    assert.equal((await rejects(saved(second), "UNSUPPORTED")).actual, "b"); // what it wrote could not be loaded
    await rejects(() => second.map("b", keys, utf8Codec()), "UNSUPPORTED");
    second.value("b", utf8Codec());
    await saved(second);
    await second.close();
  });

  databaseTest("what a load has replaced is not a state of it any more", async (open) => {
    const first = await StoredState.open((await open()).engine, { keys });
    await first.value("old", utf8Codec()).set("k", "1");
    await first.close();
    const second = await StoredState.open((await open()).engine, { keys });
    second.value("new", utf8Codec());
    await second.load(await snapshotOf("new", 10));
    await second.load(await saved(second)); // says nothing of `old`, which is not declared
    await second.close();
    const third = await StoredState.open((await open()).engine, { keys });
    third.map("old", keys, utf8Codec());
    assert.strictEqual(await count(third.value("new", utf8Codec())), 10);
    await third.close();
  });
}

for (const name of ["LevelDB", "RocksDB"]) {
  const open = databases[name];
  if (open === undefined) continue;
  test(`keyed state in ${name}: a database that is open already, or cannot be, says so`, () =>
    inTemp(async (directory) => {
      const first = await open(`${directory}/state`);
      await rejects(open(`${directory}/state`), "BUSY");
      await first.close();
      writeFileSync(`${directory}/file`, "not a directory");
      await rejects(open(`${directory}/file`), "UNAVAILABLE");
    }));
}

/** A state in SQLite, whose engine can be changed. */
async function inSqlite(
  body: (engine: Engine, directory: string) => Promise<void>,
): Promise<void> {
  await inTemp(async (directory) => {
    const engine = sqliteEngine(`${directory}/state.db`);
    try {
      await body(engine, directory);
    } finally {
      await engine.close().catch(() => {}); // closed with the state
    }
  });
}

test("stored state: more states than the database can be told of are refused, and the others go on", () =>
  inSqlite(async (engine) => {
    const state = await StoredState.open(engine, { keys });
    const one = state.value("one", utf8Codec());
    await rejects(() => {
      for (let i = 0; i < 5000; i++) state.value("x".repeat(240) + i, utf8Codec());
    }, "MALFORMED");
    await one.set("a", "1");
    await state.close();
  }));

test("stored state: a name that UTF-8 cannot hold is refused", () =>
  inSqlite(async (engine) => {
    const state = await StoredState.open(engine, { keys });
    await rejects(() => state.value("\ud800", utf8Codec()), "MALFORMED");
    await state.close();
  }));

test("stored state: errors of codecs and files are not the database's", () =>
  inSqlite(async (engine) => {
    const refusing = { ...utf8Codec(), name: "utf8", decodeFrom: undefined!, decode: () => fail("codec") };
    const state = await StoredState.open(engine, { keys });
    state.value("values", { ...utf8Codec(), version: 1, migrate: refusing.decode });
    const error = await state.load(await snapshotOf("values", 1)).catch((error) => error);
    assert.notInclude(error.message, "The database of the state");
    const reader = await snapshotOf("values", 1);
    const broken = { manifest: reader.manifest, file: () => fail("file") } as unknown as SnapshotReader;
    assert.notInclude((await state.load(broken).catch((error) => error)).message, "The database of the state");
    await state.close();
  }));

function fail(what: string): never {
  throw new Error(what);
}

test("stored state: no more is remembered of what changed than fits into memory", () => {
  const many = new ChangedKeys();
  for (let i = 0; i < 40; i++) many.add(0, "values", "x".repeat(4 * 1024 * 1024) + i);
  assert.isUndefined(many.size);
  const few = new ChangedKeys();
  few.add(0, "values", "a");
  few.add(0, "values", "a");
  assert.strictEqual(few.size, 1);
  few.addAll(many);
  few.add(0, "values", "b");
  assert.isUndefined(few.size);
  assert.strictEqual(few.of(0).size, 0);
});

test("stored state: a list is set to what it was when that was called", () =>
  inSqlite(async (engine) => {
    const state = await StoredState.open(engine, { keys });
    const list = state.list("list", utf8Codec());
    const items = ["a"];
    const set = list.set("k", items);
    items.push("b");
    await set;
    assert.deepEqual(await list.get("k"), ["a"]);
    await state.close();
  }));

test("SQLite: writing, reading and clearing let others have a turn", () =>
  inSqlite(async (engine) => {
    const state = await StoredState.open(engine, { keys });
    const values = state.value("values", utf8Codec());
    const turnsOf = async (work: () => Promise<unknown>) => {
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      await work();
      clearInterval(timer);
      return turns;
    };
    const text = "x".repeat(1000);
    assert.isAbove(
      await turnsOf(() => Promise.all(Array.from({ length: 5_000 }, (_, i) => values.set(`${i}`, text)))),
      3,
    );
    assert.isAbove(await turnsOf(() => count(values)), 3);
    assert.isAbove(await turnsOf(() => engine.clear(Uint8Array.of(0), Uint8Array.of(1))), 3);
    assert.strictEqual(await count(values), 0);
    await state.close();
  }));

test("SQLite: what cannot be opened leaves no file open", () =>
  inTemp(async (directory) => {
    const path = `${directory}/bad.db`;
    writeFileSync(path, "not a database".repeat(1000));
    await rejects(() => sqliteEngine(path), "CORRUPT");
    const files = readdirSync("/proc/self/fd").map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ""; // that of the listing itself
      }
    });
    assert.deepEqual(files.filter((file) => file.startsWith(directory)), []);
  }));

test("keyed state in SQLite: a file that was deleted or replaced under us is not saved as if it were there", () =>
  inSqlite(async (engine, directory) => {
    const state = await StoredState.open(engine, { keys: stringKeys() });
    const values = state.value("values", utf8Codec());
    await values.set("a", "1");
    const save = async () => {
      const storage = new MemoryStorage();
      const writer = await storage.create();
      const task = state.save();
      try {
        await task.write(writer, new AbortController().signal);
      } finally {
        task.release();
        await writer.abort();
      }
    };
    await save();
    rmSync(`${directory}/state.db`);
    assert.strictEqual((await rejects(save(), "UNAVAILABLE")).file, `${directory}/state.db`);
    writeFileSync(`${directory}/state.db`, "");
    await rejects(save(), "UNAVAILABLE");
    await state.close();
  }));
