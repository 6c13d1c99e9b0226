import { bytesCodec, KeyedState, type SnapshotReader, StoredState, stringKeys } from "../../mod.ts";
import { stateConformance } from "../../src/testing/mod.ts";
import { assert, noise, test, testAll } from "../support/harness.ts";
import { removeDirectory, tempDirectory } from "../support/temp.ts";
import { type Database, databases } from "../support/databases.ts";
import { saved } from "../support/states.ts";

for (const [name, open] of Object.entries(databases)) {
  testAll(
    `keyed state in ${name}`,
    stateConformance(async () => {
      const directory = await tempDirectory();
      const opened: Database[] = [];
      return {
        async make(options) {
          const database = await open(`${directory}/${opened.length}`);
          opened.push(database);
          return await StoredState.open(database.engine, options);
        },
        async cleanUp() {
          for (const database of opened) await database.close();
          await removeDirectory(directory);
        },
      };
    }),
  );
}

test("a load into a database writes what it has read before it reads on", async () => {
  const source = new KeyedState({ keys: stringKeys() });
  const values = source.value("values", bytesCodec());
  for (let i = 0; i < 300; i++) values.set(`key ${i}`, noise(20_000, i));
  const reader = await saved(source);
  const database = await databases["memory-level"]!("");
  let [read, written, ahead] = [0, 0, 0];
  const engine: Database["engine"] = {
    getMany: (keys) => database.engine.getMany(keys),
    entries: (from, to) => database.engine.entries(from, to),
    clear: (from, to) => database.engine.clear(from, to),
    view: () => database.engine.view(),
    close: () => database.engine.close(),
    codeOf: (error) => database.engine.codeOf(error),
    write(changes) {
      written += changes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
      return database.engine.write(changes);
    },
  };
  const counting = {
    manifest: reader.manifest,
    size: (name: string) => reader.size(name),
    file: (name: string, range?: { start?: number; end?: number }) =>
      ReadableStream.from((async function* () {
        for await (const piece of reader.file(name, range)) {
          ahead = Math.max(ahead, read - written);
          read += piece.length;
          yield piece;
        }
      })()),
  } as Partial<SnapshotReader> as SnapshotReader;
  const state = await StoredState.open(engine, { keys: stringKeys() });
  state.value("values", bytesCodec());
  await state.load(counting);
  assert.isAbove(written, 5_900_000);
  assert.isBelow(ahead, 2_000_000);
  await state.close();
  await database.close();
});
