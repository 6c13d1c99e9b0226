// Results, events and lists in `JSON.stringify`, as whoever writes a log has them.

import {
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  notifyInstall,
  pull,
  Replica,
  snapshotHandler,
  utf8Codec,
} from "../../mod.ts";
import { MemoryBucket } from "../../src/object.ts";
import { assert, noise, test } from "../support/harness.ts";
import { openStorage, save, spoil } from "../support/object_storage.ts";

/** What a log has of a value. */
// deno-lint-ignore no-explicit-any
function logged(value: unknown): any {
  return JSON.parse(JSON.stringify(value));
}

const HEX = /^[0-9a-f]{64}$/;

function checkInfo(info: { index?: never; meta: Record<string, unknown>; digest: string }): void {
  assert.deepEqual([info.meta.lastIncludedIndex, info.meta.lastIncludedTerm], ["1", "1"]);
  assert.match(info.digest, HEX);
}

test("JSON: what a save, an install and a pull give, and what a storage lists, is written to a log", async () => {
  const events: unknown[] = [];
  const machine = new KeyValueMachine(utf8Codec());
  const storage = new MemoryStorage();
  const onEvent = (event: unknown) => void events.push(event);
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage, onEvent, purge: { gap: 1 } });
  await replica.propose(machine.put("hello", "world"));
  checkInfo(logged(await replica.snapshot()).snapshot);
  checkInfo(logged(await replica.snapshot()).snapshot);
  const [info] = await storage.list();
  checkInfo(logged(info));
  assert.deepEqual(Object.keys(info!), ["meta", "digest", "size", "files", "chunks", "pinned"]);
  assert.deepEqual(structuredClone(info), { ...info! }, "it is data, too");
  const reader = await storage.open();
  assert.strictEqual(logged(reader.manifest.meta).lastIncludedIndex, "1");
  await reader.close();

  const handler = snapshotHandler(storage);
  const source = { url: "http://there", fetch: handler };
  const here = new MemoryStorage();
  const pulled = logged(await pull(here, [source]));
  checkInfo(pulled.snapshot);
  assert.strictEqual(pulled.upToDate, false);
  checkInfo(logged(await pull(here, [source])).snapshot);

  const other = await Replica.open({
    machine: new KeyValueMachine(utf8Codec()),
    log: new MemoryLog(),
    storage: new MemoryStorage(),
    onEvent,
    onNotification: () => undefined,
  });
  checkInfo(logged(await other.install([source])).snapshot);
  checkInfo(logged(await other.install([source])).snapshot);
  const empty = snapshotHandler(new MemoryStorage(), { allowWrites: true });
  const sent = await replica.push({ url: "http://empty", fetch: empty });
  assert.strictEqual(logged(sent).lastIncludedIndex, "1");
  const notified = snapshotHandler(other.storage, { target: other, allowWrites: true });
  const said = await notifyInstall({ url: "http://here", fetch: notified }, {
    term: 1n,
    firstAvailable: { index: 1n, term: 1n },
  });
  assert.include(logged(said), { result: "ALREADY_INSTALLED", snapshotIndex: "1" });
  assert.include(logged(await other.notify({ term: 1n, firstAvailable: { index: 1n, term: 1n } })), {
    snapshotTerm: "1",
  });

  const written = events.map(logged);
  checkInfo(written.find(({ type }) => type === "saved").result.snapshot);
  checkInfo(written.find(({ type }) => type === "installed").snapshot);
  assert.strictEqual(written.find(({ type }) => type === "replayed").lastIndex, "0");
  await Promise.all([handler.close(), notified.close(), empty.close(), replica.close(), other.close()]);
});

test("JSON: a snapshot that was committed, and one that cannot be used, are written to a log", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  await ReadableStream.from([new Uint8Array(10)]).pipeTo(writer.file("a"));
  checkInfo(logged(await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] })));
  const unfit: unknown[] = [];
  const machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({
    machine,
    log: new MemoryLog(),
    storage,
    onEvent: (event) => void unfit.push(event),
  }).catch((error: unknown) => error);
  assert.instanceOf(replica, Error);
  const [event] = unfit.map(logged);
  assert.strictEqual(event.type, "unusable");
  checkInfo(event.snapshot);
});

test("JSON: what is quarantined is written to a log", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  await save(storage, 1n, { state: noise(1000, 1) });
  await save(storage, 2n, { state: noise(1000, 2) });
  await spoil(bucket, 1n);
  assert.isTrue(await storage.quarantine(1n, "a test"));
  assert.deepEqual(logged(await storage.quarantined()).map(({ index }: { index: string }) => index), ["1"]);
  await storage.close();
});
