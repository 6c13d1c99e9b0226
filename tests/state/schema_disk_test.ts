// States in databases that are not declared any more, or are of another release; and values that are too large for a
// file.

import {
  bytesCodec,
  type Codec,
  KeyedState,
  type KeyedStateOptions,
  KeyValueMachine,
  MemoryLog,
  Replica,
  StoredState,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { databases } from "../support/databases.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { CODECS, LastingStorage, type Release, StoredUsers, userOf } from "../support/schemas.ts";
import { saved, saveTo } from "../support/states.ts";
import { inTemp } from "../support/temp.ts";

const keys = stringKeys();

for (const [name, openDatabase] of Object.entries(databases)) {
  if (name === "memory-level") continue; // it is gone when it is closed
  type Opening = <T>(
    options: Partial<KeyedStateOptions<string>>,
    body: (state: StoredState<string>) => Promise<T>,
  ) => Promise<T>;

  const databaseTest = (what: string, body: (open: Opening, directory: string) => Promise<void>) =>
    test(`keyed state in ${name}: ${what}`, () =>
      inTemp((directory) =>
        body(async (options, body) => {
          const database = await openDatabase(`${directory}/state`);
          try {
            const state = await StoredState.open(database.engine, { keys, ...options });
            try {
              return await body(state);
            } finally {
              await state.close();
            }
          } finally {
            await database.close();
          }
        }, directory)
      ));

  const fill = (state: StoredState<string>, names: readonly string[]) =>
    Promise.all(names.map(async (name) => {
      const values = state.value(name, utf8Codec());
      for (let i = 0; i < 50; i++) await values.set(`${i}`, name);
      return values;
    }));
  const count = async (state: StoredState<string>, name: string) =>
    (await Array.fromAsync(state.value(name, utf8Codec()).entries())).length;

  databaseTest(
    "a state of the database that is not declared any more fails the save until it is dropped",
    async (open) => {
      await open({}, (state) => fill(state, ["kept", "gone", "goner"]));
      await open({}, async (state) => {
        state.value("kept", utf8Codec());
        assert.include((await rejects(saved(state), "UNSUPPORTED")).message, `"drop"`);
      });
      await open({}, async (state) => assert.strictEqual(await count(state, "gone"), 50)); // nothing is lost
      await open({ drop: ["gone"] }, async (state) => {
        assert.strictEqual(await count(state, "kept"), 50);
        await rejects(() => state.value("gone", utf8Codec()), "MALFORMED");
        state.value("goner", utf8Codec());
        const memory = new KeyedState({ keys });
        memory.value("kept", utf8Codec());
        memory.value("goner", utf8Codec());
        await memory.load(await saved(state));
        assert.strictEqual(memory.size, 100);
      });
      await open({}, async (state) => {
        assert.strictEqual(await count(state, "kept"), 50);
        assert.strictEqual(await count(state, "goner"), 50); // whose name begins like that of the other one
        state.list("gone", utf8Codec()); // another one may have its name
        await saved(state);
      });
    },
  );

  databaseTest("a state of a snapshot that is not declared any more", async (open) => {
    const old = new KeyedState({ keys, incremental: { maxShare: 10 } });
    const [kept, gone] = ["kept", "gone"].map((name) => old.value(name, utf8Codec()));
    for (let i = 0; i < 50; i++) for (const state of [kept!, gone!]) state.set(`${i}`, "1");
    const storage = new LastingStorage();
    await saveTo(old, storage, 1n);
    await open({ incremental: true }, async (state) => {
      const values = state.value("kept", utf8Codec());
      await values.set("old", "state");
      assert.strictEqual((await rejects(state.load(await storage.open()), "UNSUPPORTED")).actual, "gone");
      assert.strictEqual(await values.get("old"), "state");
      for (let i = 0; i < 50; i++) gone!.delete(`${i}`);
      assert.strictEqual((await saveTo(old, storage, 2n)).files, 2);
      await state.load(await storage.open()); // a delta has emptied it
      assert.strictEqual((await Array.fromAsync(values.entries())).length, 50);
    });
    gone!.set("back", "1");
    await saveTo(old, storage, 3n);
    await open({ incremental: true, drop: ["gone"] }, async (state) => {
      const values = state.value("kept", utf8Codec());
      await state.load(await storage.open());
      await values.set("new", "1");
      assert.strictEqual((await saveTo(state, storage, 4n)).files, 1, "nothing is built upon what has it");
    });
    const memory = new KeyedState({ keys });
    const values = memory.value("kept", utf8Codec());
    await memory.load(await storage.open());
    assert.strictEqual(values.size, 51);
  });

  databaseTest(
    "another release does not touch a database, and reads snapshot and log into one of its own",
    async (open, directory) => {
      const log = new MemoryLog();
      const storage = new LastingStorage();
      const expected: Record<string, unknown> = {};
      const run = async (
        state: StoredState<string>,
        release: Release,
        work: (replica: Replica<StoredUsers>) => Promise<void>,
      ) => {
        const machine = new StoredUsers(CODECS[release]!, state);
        const replica = await Replica.open({ machine, log, storage, triggers: { interval: 0 }, purge: { gap: 1 } });
        await work(replica);
        await replica.close();
      };
      const put = async (replica: Replica<StoredUsers>, key: string, wrote: Release) => {
        await replica.propose(replica.machine.put(key, userOf(key, wrote)));
        expected[key] = userOf(key, wrote, 1);
      };
      await open({}, (state) =>
        run(state, 0, async (replica) => {
          await put(replica, "in the snapshot", 0);
          await replica.snapshot().result;
          await put(replica, "in the log", 0);
        }));
      await open({}, (state) => rejects(() => new StoredUsers(CODECS[1]!, state), "UNSUPPORTED"));
      const second = await openDatabase(`${directory}/second`);
      const state = await StoredState.open(second.engine, { keys });
      await run(state, 1, async (replica) => {
        assert.deepEqual(await replica.machine.content(), expected);
        await put(replica, "newer", 1);
      });
      await state.close();
      await second.close();
      await open({}, async (state) => {
        const machine = new StoredUsers(CODECS[0]!, state);
        assert.strictEqual((await rejects(Replica.open({ machine, log, storage }), "UNSUPPORTED")).index, 3n);
      });
      const third = await openDatabase(`${directory}/second`);
      const again = await StoredState.open(third.engine, { keys });
      await run(again, 1, async (replica) => assert.deepEqual(await replica.machine.content(), expected));
      await again.close();
      await third.close();
    },
  );

  databaseTest("what no save can write is refused when it is set, and said of which key", async (open) => {
    await open({}, async (state) => {
      const json = CODECS[0] as Codec<unknown>;
      const value = state.value("value", json);
      const list = state.list("list", json);
      const map = state.map("map", keys, json);
      const sets: (() => Promise<void>)[] = [
        () => value.set("the key", NaN),
        () => list.set("the key", [1, undefined]),
        () => list.add("the key", 1n),
        () => map.set("the key", "its key", () => 1),
        () => state.value("bytes", bytesCodec()).set("the key", new Uint8Array(2 ** 30 + 1)),
      ];
      for (const set of sets) {
        const error = await rejects(set, "MALFORMED");
        assert.include(error.message, "the key");
        assert.match(error.message, /codec (json|bytes), version 0/);
      }
      await value.set("good", 1);
      await saved(state);
    });
  });
}

/** Bytes of which there are more than any file takes; nothing writes to them, so that they take no memory. */
const tooMany = () => new Uint8Array(2 ** 30 + 1);

test("bytes that no file can hold are refused when they are set", async () => {
  const state = new KeyedState({ keys });
  const error = await rejects(() => state.value("value", bytesCodec()).set("the key", tooMany()), "MALFORMED");
  assert.include(error.message, `"the key"`);
  await rejects(() => state.map("map", keys, bytesCodec()).set("the key", "its key", tooMany()), "MALFORMED");
  await rejects(() => new KeyValueMachine(bytesCodec()).put("the key", tooMany()), "MALFORMED");
  assert.strictEqual(state.size, 0);
});

test("a list is as long as a save can write it, however it grew", async () => {
  const quarter = new Uint8Array(2 ** 28); // never written to, as above
  const plain: Codec<Uint8Array> = { name: "plain", encode: (bytes) => bytes, decode: (bytes) => bytes };
  const state = new KeyedState({ keys });
  const list = state.list("list", plain);
  for (let i = 0; i < 3; i++) list.add("a", quarter);
  list.add("a", quarter.subarray(16)); // to the byte: each item has four bytes for its length
  assert.include((await rejects(() => list.add("a", new Uint8Array(0)), "MALFORMED")).message, `the list of "a"`);
  await rejects(() => list.set("b", [quarter, quarter, quarter, quarter]), "MALFORMED");
  assert.deepEqual([list.get("a").length, list.get("b").length], [4, 0]);
  list.set("a", [quarter]);
  list.add("a", quarter);
  assert.strictEqual(list.get("a").length, 2);
});

test("a key is as long as a save can write it", async () => {
  const { encodeInto: _, ...plain } = keys;
  const long: typeof plain = { ...plain, encode: (key) => key.length > 70_000 ? tooMany() : keys.encode(key) };
  const state = new KeyedState({ keys: long });
  const value = state.value("value", utf8Codec());
  value.set("x".repeat(70_000), "");
  await rejects(() => value.set("x".repeat(70_001), ""), "MALFORMED");
  await rejects(() => state.map("map", long, utf8Codec()).set("a", "x".repeat(70_001), ""), "MALFORMED");
  assert.strictEqual(state.size, 1);
});
