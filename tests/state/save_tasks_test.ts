// The five cases of Flink's AsyncSnapshotCallableTest, and what they have in common: everything is given back exactly once.

import { KeyedState, MemoryStorage, type SaveTask, type SnapshotWriter, stringKeys, utf8Codec } from "../../mod.ts";
import { hasCode } from "../../src/errors.ts";
import { SaveTasks } from "../../src/state/save_tasks.ts";
import { assert, gate, rejects, test } from "../support/harness.ts";

/** A save that says what happens to it, and blocks until it is let go. */
class Probe {
  readonly events: string[] = [];
  readonly tasks = new SaveTasks("probe");
  readonly started = gate();
  readonly block = gate();
  readonly task: SaveTask;
  streamOpen = false;

  constructor(options: { readonly blocks?: boolean; readonly fails?: boolean } = {}) {
    this.task = this.tasks.begin({
      write: async (_writer, signal) => {
        this.events.push("call");
        this.streamOpen = true;
        signal.addEventListener("abort", () => {
          this.events.push("cancel");
          this.block.open();
        });
        this.started.open();
        try {
          if (options.blocks) await this.block.promise;
          signal.throwIfAborted();
          if (options.fails) throw new Error("as asked");
          this.events.push("log");
        } finally {
          this.streamOpen = false;
        }
      },
      cleanUp: () => {
        assert.isFalse(this.streamOpen, "nothing is using it any more");
        this.events.push("cleanUp");
      },
    });
  }

  write(signal = new AbortController().signal): Promise<void> {
    return this.task.write({} as SnapshotWriter, signal);
  }

  /** What an executor does in the end; twice, since that must do no harm. */
  async end(): Promise<void> {
    this.task.release();
    this.task.release();
    await this.tasks.close();
    assert.isFalse(this.streamOpen);
    assert.equal(this.tasks.size, 0);
  }
}

test("a save's tasks: normal", async () => {
  const probe = new Probe();
  await probe.write();
  assert.deepEqual(probe.events, ["call", "log"]);
  await probe.end();
  assert.deepEqual(probe.events, ["call", "log", "cleanUp"]);
});

test("a save's tasks: an exception", async () => {
  const probe = new Probe({ fails: true });
  const error = await probe.write().catch((error) => error);
  assert.equal(error.message, "as asked");
  await probe.end();
  assert.deepEqual(probe.events, ["call", "cleanUp"]);
});

test("a save's tasks: cancelled while running", async () => {
  const probe = new Probe({ blocks: true });
  const stop = new AbortController();
  const written = probe.write(stop.signal);
  await probe.started.promise;
  stop.abort("enough");
  await rejects(written, "CANCELLED");
  await probe.end();
  assert.deepEqual(probe.events, ["call", "cancel", "cleanUp"]);
});

test("a save's tasks: the owner closed while running", async () => {
  const probe = new Probe({ blocks: true });
  const written = probe.write();
  await probe.started.promise;
  const closed = probe.tasks.close();
  await rejects(written, "CLOSED");
  await closed;
  assert.deepEqual(probe.events, ["call", "cancel", "cleanUp"]); // though nobody released it yet
  await probe.end();
  assert.deepEqual(probe.events, ["call", "cancel", "cleanUp"]);
  await rejects(() => probe.tasks.begin({ write: () => Promise.resolve(), cleanUp: () => {} }), "CLOSED");
});

test("a save's tasks: cancelled before it runs", async () => {
  const stopped = new Probe();
  await rejects(stopped.write(AbortSignal.abort("enough")), "CANCELLED");
  await stopped.end();
  assert.deepEqual(stopped.events, ["cleanUp"]);
  const released = new Probe();
  released.task.release();
  await rejects(released.write(), "CLOSED");
  await released.end();
  assert.deepEqual(released.events, ["cleanUp"]);
});

test("a save's tasks: released while it runs, it is cleaned up when it has seen that", async () => {
  const probe = new Probe({ blocks: true });
  const written = probe.write();
  await probe.started.promise;
  probe.task.release();
  assert.deepEqual(probe.events, ["call", "cancel"]);
  await rejects(written, "CLOSED");
  await probe.end();
  assert.deepEqual(probe.events, ["call", "cancel", "cleanUp"]);
});

test("keyed state: saving a closed one is CLOSED; closing gives up the save that is running", async () => {
  const state = new KeyedState({ keys: stringKeys(), incremental: true });
  const value = state.value("value", utf8Codec());
  for (let i = 0; i < 1000; i++) value.set(`key ${i}`, "x".repeat(2000));
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const task = state.save()!;
  const waiting = state.save()!;
  const written = task.write(writer, new AbortController().signal);
  const [closed] = await Promise.allSettled([state.close(), rejects(written, "CLOSED")]);
  assert.equal(closed.status, "fulfilled");
  await rejects(waiting.write(writer, new AbortController().signal), "CLOSED");
  await writer.abort();
  task.release();
  await rejects(() => state.save()!, "CLOSED");
  await rejects(state.load(), "CLOSED");
  assert.equal(value.get("key 1")?.length, 2000);
});

test("keyed state: a save that is cancelled while its writer is stalled stops, and nothing is left of it", async () => {
  const state = new KeyedState({ keys: stringKeys() });
  const value = state.value("value", utf8Codec());
  for (let i = 0; i < 100; i++) value.set(`key ${i}`, "x".repeat(20_000));
  const aborted = gate<unknown>();
  const stalled = {
    file: () => new WritableStream({ write: () => new Promise(() => {}), abort: aborted.open }, { highWaterMark: 0 }),
  } as Partial<SnapshotWriter> as SnapshotWriter;
  const stop = new AbortController();
  const task = state.save()!;
  const written = task.write(stalled, stop.signal);
  queueMicrotask(() => stop.abort("enough"));
  const error = await rejects(written, "CANCELLED");
  assert.isTrue(hasCode(error, "CANCELLED"));
  task.release();
  await state.close();
});

test("a save's tasks: what was written, or begun to be, is not written again: its view is gone", async () => {
  const state = new KeyedState({ keys: stringKeys() });
  state.value("value", utf8Codec()).set("a", "x");
  const task = state.save()!;
  const storage = new MemoryStorage();
  for (const code of [undefined, "CLOSED"] as const) {
    const writer = await storage.create();
    const written = task.write(writer, new AbortController().signal);
    if (code === undefined) await written;
    else await rejects(written, code);
    await writer.abort();
  }
  task.release();
});
