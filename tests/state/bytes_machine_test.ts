// Machines out of anything that encodes itself; and saving and restoring without a replica.

import {
  bytesMachine,
  jsonCodec,
  KeyedState,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Replica,
  restore,
  save,
  type SaveTask,
  stringKeys,
} from "../../mod.ts";
import { assert, rejects, test } from "../support/harness.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytesOf = (value: string) => new TextEncoder().encode(value);

/** A machine that appends what it is told. */
function appending() {
  const held = { text: "" };
  const machine = bytesMachine({
    apply: ({ data }: LogEntry) => void (held.text += text(data)),
    encode: () => held.text === "" ? undefined : bytesOf(held.text),
    decode: (bytes) => void (held.text = text(bytes)),
  });
  return { held, machine };
}

test("bytes machine: saved, loaded by another replica, and its log goes on", async () => {
  const { held, machine } = appending();
  const [log, storage] = [new MemoryLog(), new MemoryStorage()];
  const replica = await Replica.open({ machine, log, storage, triggers: { interval: 0 } });
  assert.isFalse((await replica.snapshot().result).taken, "it has nothing to save");
  await replica.propose(bytesOf("a"));
  await replica.propose(bytesOf("b"));
  const { snapshot } = await replica.snapshot().result;
  assert.equal(held.text, "ab");
  const other = appending();
  const meta = await restore(other.machine, storage);
  assert.equal(meta?.lastIncludedIndex, snapshot?.meta.lastIncludedIndex);
  assert.equal(other.held.text, "ab");
  await replica.close();
});

test("bytes machine: bytes of any length, none too, and what is no bytes is refused", async () => {
  for (const length of [0, 1, 3_000_000]) {
    let held = new Uint8Array(length).fill(7);
    const machine = bytesMachine({ apply() {}, encode: () => held, decode: (bytes) => void (held = bytes.slice()) });
    const storage = new MemoryStorage();
    await save(machine, storage);
    held = new Uint8Array(2);
    await restore(machine, storage);
    assert.equal(held.length, length);
  }
  const wrong = bytesMachine({ apply() {}, encode: () => "text" as never, decode() {} });
  await rejects(save(wrong, new MemoryStorage()), "MALFORMED");
  await rejects(() => bytesMachine({ apply() {}, encode: () => undefined } as never), "MALFORMED");
});

test("bytes machine: a snapshot of another kind of machine is refused, and the state is as it was", async () => {
  const storage = new MemoryStorage();
  const state = new KeyedState({ keys: stringKeys(), name: "keyed" });
  state.value("ages", jsonCodec<number>()).put("Ada", 36);
  await save(state, storage);
  const { held, machine } = appending();
  held.text = "mine";
  await rejects(restore(machine, storage), "MALFORMED");
  assert.equal(held.text, "mine");
});

test("save and restore: indices are counted, and term and members defaulted", async () => {
  const { held, machine } = appending();
  const storage = new MemoryStorage();
  assert.isUndefined(await save(machine, storage), "there is nothing to save");
  assert.isUndefined(await restore(machine, storage), "nor to restore");
  held.text = "one";
  const first = await save(machine, storage);
  assert.deepEqual([first?.meta.lastIncludedIndex, first?.meta.lastIncludedTerm, first?.meta.peers], [1n, 1n, []]);
  held.text = "two";
  await save(machine, storage, { index: 7n, term: 3n, peers: ["a"] });
  const third = save(machine, storage);
  held.text = "later"; // the view was taken in the same turn
  assert.deepEqual([(await third)?.meta.lastIncludedIndex, (await third)?.meta.lastIncludedTerm], [8n, 3n]);
  await restore(machine, storage);
  assert.equal(held.text, "two");
  await rejects(save(machine, storage, { index: 8n }), "STALE");
  await rejects(restore(machine, storage, { index: 99n }), "NOT_FOUND");
  await rejects(save(machine, storage, { index: 1 as never }), "MALFORMED");
  await rejects(save(machine, storage, { signal: AbortSignal.abort() }), "CANCELLED");
});

test("save: whatever fails, the view is released once, and nothing is left in the storage", async () => {
  for (const failing of ["write", "cancel", "commit"] as const) {
    const storage = new MemoryStorage();
    let released = 0;
    const stop = new AbortController();
    const task: SaveTask = {
      async write(writer) {
        await new Blob(["x"]).stream().pipeTo(writer.file("state"));
        if (failing === "write") throw new Error("It fails");
        if (failing === "cancel") stop.abort();
      },
      release: () => void released++,
    };
    const options = failing === "commit" ? { index: 0n } : { signal: stop.signal };
    const error = await save({ save: () => task }, storage, options).catch((error) => error);
    assert.instanceOf(error, Error);
    assert.equal(released, 1, failing);
    assert.deepEqual(await storage.list(), []);
    assert.isDefined(await save(appendingOf("x"), storage), "another can be saved");
  }
});

function appendingOf(value: string) {
  const { held, machine } = appending();
  held.text = value;
  return machine;
}
