/**
 * The conformance suite of keyed states, wherever they are kept.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import { jsonCodec, KeyedState, type KeyedStateOptions, stringKeys, utf8Codec } from "../state/mod.ts";
import type { SnapshotReader } from "../snapshot/mod.ts";
import { MemoryStorage } from "../storage/mod.ts";
import { check, type ConformanceCase, fails, same } from "./check.ts";
import { Bench, commit, loaded, type StateUnderTest } from "./state_kit.ts";

export type { StateUnderTest } from "./state_kit.ts";

/**
 * The suite for keyed states.
 *
 * @param make makes a factory of empty states
 */
export function stateConformance(make: () => Promise<StateUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  type Open = (options?: Partial<KeyedStateOptions<string>>) => Promise<Bench>;
  const add = (name: string, body: (open: Open, storage: MemoryStorage) => Promise<void>) =>
    cases.push({
      name,
      async run() {
        const made = await make();
        const storage = new MemoryStorage();
        const opened: Bench[] = [];
        try {
          await body(async (options = {}) => {
            const bench = new Bench(await made.make({ ...options, keys: stringKeys() }));
            opened.push(bench);
            return bench;
          }, storage);
        } finally {
          for (const { state } of opened) await state.close();
          await storage.close();
          await made.cleanUp();
        }
      },
    });

  add("values, lists and maps do what they say", async (open) => {
    const { value, list, map, state } = await open();
    same(await value.get("a"), undefined, "no value");
    same((await list.get("a")).length, 0, "no list");
    same(await map.get("a", "x"), undefined, "no entry");
    await value.set("a", 1);
    await value.set("a", 2);
    await list.add("a", "one", "two");
    await list.add("a", "three");
    await map.set("a", "x", "1");
    await map.set("a", "y", "2");
    await map.set("ab", "x", "of another");
    same(await value.get("a"), 2, "value");
    same((await list.get("a")).join(), "one,two,three", "list");
    same(await map.get("a", "y"), "2", "entry");
    const entries: string[] = [];
    for await (const [userKey, text] of map.entries("a")) entries.push(`${userKey}${text}`);
    same(entries.sort().join(), "x1,y2", "entries");
    await list.set("a", ["x"]);
    same((await list.get("a")).join(), "x", "list that was set");
    await list.set("a", []);
    same((await list.get("a")).length, 0, "list without items");
    await value.delete("a");
    await value.delete("b");
    same(await value.get("a"), undefined, "value that was deleted");
    await map.delete("a", "x");
    same(await map.get("a", "x"), undefined, "entry that was deleted");
    same(state.owns("a"), true, "owns");
    await fails(() => state.value("value", jsonCodec()), "MALFORMED");
    await fails(async () => await value.set("\ud800", 1), "MALFORMED");
  });

  add("what was saved is what there was, and is loaded here and in memory", async (open, storage) => {
    const source = await open();
    await source.changes(1, 400);
    await source.checkContent("before");
    await commit(source.state.save()!, storage, 1n);
    const reader = await storage.open();
    const expected = source.expected();
    same(await (await loaded([reader])).content(), expected, "in memory");
    const target = await open();
    await target.changes(1000, 1100); // to be replaced
    await target.state.load(reader);
    same(await target.content(), expected, "here");
    await target.value.set("after", 1);
    same(await target.value.get("after"), 1, "and goes on");
    await reader.close();
  });

  add("a save is of the moment it was begun, whatever is written meanwhile", async (open, storage) => {
    const source = await open();
    await source.changes(1, 400);
    const expected = source.expected();
    const task = source.state.save()!;
    await source.changes(400, 500);
    const writer = await storage.create();
    const [written] = await Promise.allSettled([
      task.write(writer, new AbortController().signal),
      source.changes(500, 800),
    ]);
    same(written.status, "fulfilled", "the write");
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    task.release();
    same(await (await loaded([await storage.open()])).content(), expected, "what was saved");
    await source.checkContent("what is there now");
  });

  add("ranges of key groups: saved in parts, loaded in other parts", async (open) => {
    const readers: SnapshotReader[] = [];
    const whole = await open();
    await whole.changes(1, 300);
    for (const range of [{ first: 0, last: 50 }, { first: 51, last: 51 }, { first: 52, last: 127 }]) {
      const part = await open({ range });
      await part.changes(1, 300);
      const storage = new MemoryStorage();
      await commit(part.state.save()!, storage, 1n);
      readers.push(await storage.open());
    }
    const found: string[] = [];
    for (const range of [{ first: 0, last: 20 }, { first: 21, last: 100 }, { first: 101, last: 127 }]) {
      const part = await open({ range });
      await part.state.load(...readers);
      const content = await part.content();
      if (content !== "") found.push(...content.split("; "));
    }
    same(found.sort().join("; "), whole.expected(), "all of them");
    const part = await open({ range: { first: 0, last: 20 } });
    await part.changes(1, 100);
    await fails(() => part.state.load(readers[1]!, readers[2]!), "MALFORMED");
    await part.checkContent("after a load that was refused");
    const other = Array.from({ length: 50 }, (_, i) => `key ${i}`).find((key) => !part.state.owns(key))!;
    await fails(async () => await part.value.set(other, 1), "MALFORMED");
    await fails(async () => await part.value.get(other), "MALFORMED");
  });

  add("incremental saves have what changed, and are whole", async (open, storage) => {
    const source = await open({ incremental: { maxShare: 100, maxDeltas: 4 } });
    let done = 1;
    const files: number[] = [];
    for (let index = 1n; index <= 8n; index++) {
      await source.changes(done, done += index === 1n ? 300 : 20);
      files.push(await commit(source.state.save()!, storage, index));
      const reader = await storage.open();
      same(await (await loaded([reader])).content(), source.expected(), `snapshot ${index}`);
      await reader.close();
    }
    same(files.join(), "1,2,3,4,5,1,2,3", "files");
    const reader = await storage.open();
    const target = await open({ incremental: { maxShare: 100, maxDeltas: 4 } });
    await target.state.load(reader);
    await reader.close();
    target.model.clear();
    for (const [key, value] of source.model) target.model.set(key, value);
    await target.checkContent("loaded out of deltas");
    await target.changes(done, done + 10);
    same(await commit(target.state.save()!, storage, 9n), 4, "files, upon what was loaded");
    const last = await storage.open();
    same(await (await loaded([last])).content(), target.expected(), "upon what was loaded");
    await last.close();
  });

  add("a save that failed, or was cancelled, is not built upon", async (open, storage) => {
    const source = await open({ incremental: { maxShare: 100 } });
    await source.changes(1, 300);
    await commit(source.state.save()!, storage, 1n);
    await source.changes(300, 320);
    const lost = source.state.save()!;
    const writer = await storage.create();
    await lost.write(writer, new AbortController().signal);
    await source.changes(320, 340);
    await writer.abort();
    lost.release();
    source.state.save()!.release(); // and one that never ran
    await source.changes(340, 360);
    same(await commit(source.state.save()!, storage, 2n), 2, "files");
    const reader = await storage.open();
    same(await (await loaded([reader])).content(), source.expected(), "all changes");
    await reader.close();
  });

  add("a state without entries is an empty file", async (open, storage) => {
    const source = await open();
    await source.value.set("a", 1); // one of which nobody ever knew of an entry gives nothing, in memory
    await source.value.delete("a");
    await commit(source.state.save()!, storage, 1n);
    const reader = await storage.open();
    same(reader.manifest.size, 0, "bytes");
    const target = await open();
    await target.changes(1, 100);
    await target.state.load(reader);
    same(await target.content(), "", "what is there");
    await reader.close();
    await source.changes(1, 100);
    await commit(source.state.save()!, storage, 2n);
  });

  add("a save that is cancelled, before or while it is written, leaves nothing", async (open, storage) => {
    const source = await open();
    await source.changes(1, 200);
    for (const before of [true, false]) {
      const writer = await storage.create();
      const stop = new AbortController();
      const task = source.state.save()!;
      if (before) stop.abort("enough");
      const written = task.write(writer, stop.signal);
      written.catch(() => {});
      stop.abort("enough");
      await fails(() => written, "CANCELLED");
      await writer.abort();
      task.release();
    }
    same((await storage.list()).length, 0, "snapshots");
    await commit(source.state.save()!, storage, 1n);
    await source.checkContent("the state");
  });

  add("a load that fails leaves everything as it was", async (open, storage) => {
    const source = await open();
    await source.changes(1, 300);
    await commit(source.state.save()!, storage, 1n);
    const reader = await storage.open();
    const target = await open();
    await target.changes(500, 700);
    let left = 3;
    const failing: SnapshotReader = {
      manifest: reader.manifest,
      file: (name: string, range?: { start?: number; end?: number }) =>
        reader.file(name, range).pipeThrough(
          new TransformStream({
            transform(piece, controller) {
              if (left-- === 0) throw new Error("as asked");
              controller.enqueue(piece);
            },
          }),
        ),
    } as SnapshotReader;
    const refused = await target.state.check(failing).catch((error) => error);
    check(refused instanceof Error, "its check fails");
    left = 3;
    const error = await target.state.load(failing).catch((error) => error);
    check(error instanceof Error, "it fails");
    await target.checkContent("the state");
    await fails(() => target.state.load(), "MALFORMED");
    await target.checkContent("the state");
    const other = new KeyedState({ keys: stringKeys() });
    other.value("unknown", utf8Codec()).set("a", "1");
    const there = new MemoryStorage();
    await commit(other.save()!, there, 1n);
    await fails(async () => await target.state.check(await there.open()), "UNSUPPORTED");
    await fails(async () => await target.state.load(await there.open()), "UNSUPPORTED");
    await target.state.check(reader);
    await target.checkContent("the state");
    await target.state.load(reader);
    same(await target.content(), source.expected(), "loaded in the end");
    await reader.close();
  });

  add(
    "a state that is not declared is no obstacle if it is empty, and dropped where that is said",
    async (open, storage) => {
      const source = new KeyedState({ keys: stringKeys() });
      const [values, unknown] = [source.value("value", jsonCodec<number>()), source.value("unknown", utf8Codec())];
      for (let i = 0; i < 20; i++) values.set(`${i}`, i);
      await commit(source.save()!, storage, 1n);
      const target = await open();
      await target.state.load(await storage.open());
      same((await target.content()).split("; ").length, 20, "entries, though a state is not declared");
      unknown.set("a", "1");
      await commit(source.save()!, storage, 2n);
      await fails(async () => await target.state.load(await storage.open()), "UNSUPPORTED");
      const dropping = await open({ drop: ["unknown"] });
      await dropping.state.load(await storage.open());
      same(await dropping.content(), await target.content(), "without what was dropped");
      await fails(() => dropping.state.value("unknown", utf8Codec()), "MALFORMED");
    },
  );

  add("a value that no save can write is refused when it is set", async (open, storage) => {
    const { state, value, list, map } = await open();
    await value.set("a", 1);
    for (const wrong of [undefined, NaN, 1n, () => 1] as unknown[]) {
      await fails(async () => await value.set("b", wrong as number), "MALFORMED");
      await fails(async () => await list.add("b", wrong as string), "MALFORMED");
      await fails(async () => await map.set("b", "x", wrong as string), "MALFORMED");
    }
    await commit(state.save()!, storage, 1n);
    same(await (await loaded([await storage.open()])).content(), "value a=1", "what is saved");
  });

  add("closing cancels a save that is running, and waits for it; after that all is CLOSED", async (open, storage) => {
    const source = await open();
    await source.changes(1, 300);
    const task = source.state.save()!;
    const writer = await storage.create();
    const written = task.write(writer, new AbortController().signal);
    written.catch(() => {});
    await source.state.close();
    const outcome = await written.then(() => undefined, (error) => error);
    check(outcome === undefined || outcome.code === "CLOSED", `${outcome} is CLOSED`);
    await writer.abort();
    task.release();
    task.release();
    await fails(() => source.state.save()!, "CLOSED");
    await fails(() => source.state.load(), "CLOSED");
    await source.state.close();
  });

  return cases;
}
