// Machines that have their state on a disk of their own: the log is purged behind what they have there, no snapshot is taken
// but to be sent, and a machine that cannot say what is on its disk is treated like any other.

import {
  type DurablyApplied,
  type ExecutorEvent,
  MemoryLog,
  MemoryStorage,
  pull,
  Replica,
  type ReplicaOptions,
  type SnapshotError,
  snapshotHandler,
  type StateMachine,
} from "../../mod.ts";
import { type Database, databases } from "../support/databases.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { assert, rejects, test, turns } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { inTemp } from "../support/temp.ts";
import { command, contentAfter, openWords } from "../support/words.ts";

const MANY = Array.from({ length: 45 }, (_, i) => `word ${i % 7}`);

/** A log and a storage that outlive a replica. */
class Kept {
  readonly log: MemoryLog = new MemoryLog();
  readonly storage: MemoryStorage = new MemoryStorage({ retain: 2 });
  readonly events: ExecutorEvent[] = [];
  readonly clock: FakeClock = new FakeClock();

  open(machine: StateMachine, options: Partial<ReplicaOptions<StateMachine>> = {}): Promise<Replica<StateMachine>> {
    return Replica.open({
      machine,
      log: keptOpen(this.log),
      storage: keptOpen(this.storage),
      triggers: { interval: 0, entries: 10 },
      purge: { gap: 1 },
      clock: this.clock,
      onEvent: (event) => this.events.push(event),
      ...options,
    });
  }

  errors(type: "purgeFailed" | "saveFailed"): unknown[] {
    return this.events.flatMap((event) => event.type === type ? [(event.error as SnapshotError).code] : []);
  }
}

function keptOpen<T extends { close(): Promise<void> }>(target: T): T {
  return overriding<{ close(): Promise<void> }>(target, { close: () => Promise.resolve() }) as T;
}

async function proposeAll(replica: Replica<StateMachine>, words: readonly string[]): Promise<void> {
  for (const word of words) await replica.propose(command(word));
}

function streamOf(index: bigint): ReadableStream<Uint8Array> {
  return new Blob([String(index)]).stream() as ReadableStream<Uint8Array>;
}

/** A machine that has all it was told of on its disk once it is flushed, or what a test says. */
class Disk implements StateMachine {
  durably: DurablyApplied = { index: 0n, term: 0n, synced: 0n };
  says: Partial<DurablyApplied> = {};
  flushes = 0;
  failure: Error | undefined;
  saves = 0;

  apply({ index, term }: { readonly index: bigint; readonly term: bigint }): void {
    this.durably = { ...this.durably, index, term };
  }
  reconfigure(entry: { readonly index: bigint; readonly term: bigint }): void {
    this.apply(entry);
  }
  durable(): DurablyApplied {
    return { ...this.durably, ...this.says };
  }
  flush(): void {
    this.flushes++;
    if (this.failure !== undefined) throw this.failure;
    this.durably = { ...this.durably, synced: this.durably.index };
  }
  save(): ReturnType<StateMachine["save"]> {
    this.saves++;
    return { write: (writer) => streamOf(this.durably.index).pipeTo(writer.file("state")), release: () => {} };
  }
  load(): Promise<void> {
    return Promise.reject(new Error("It is never loaded"));
  }
  check(): Promise<void> {
    return Promise.resolve();
  }
}

for (const name of Object.keys(databases).filter((name) => name !== "memory-level")) {
  test(`disk-based, in ${name}: the log goes without a snapshot, and after a restart nothing is loaded or replayed`, () =>
    inTemp(async (directory) => {
      const kept = new Kept();
      let database: Database | undefined;
      for (let round = 0; round < 2; round++) {
        database = await databases[name]!(`${directory}/state`);
        const words = await openWords(database.engine);
        const replica = await kept.open(words.machine);
        if (round === 0) await proposeAll(replica, MANY);
        else {
          const replayed = kept.events.filter(({ type }) => type === "replayed").at(-1);
          assert.deepEqual(replayed, { type: "replayed", index: 45n, lastIndex: 45n });
        }
        assert.equal(replica.status().appliedIndex, 45n);
        assert.equal(await words.content(), await contentAfter(MANY));
        await replica.purge();
        assert.deepEqual([kept.log.firstIndex, kept.log.lastIndex], [46n, 45n]);
        assert.equal(words.state.durable()?.synced, 45n);
        await replica.close();
        await words.state.close();
        await database.close();
      }
      assert.deepEqual(await kept.storage.list(), []);
      const purged = kept.events.flatMap((event) => event.type === "purged" ? [event.index] : []);
      assert.isAbove(purged.length, 2, "the trigger has it flushed and purged");
      assert.deepEqual(kept.errors("purgeFailed"), []);
    }));
}

test("disk-based: a database in memory is none, and its log is purged behind snapshots only", async () => {
  const kept = new Kept();
  const { engine } = await databases["memory-level"]!("");
  const words = await openWords(engine);
  const replica = await kept.open(words.machine, { triggers: { interval: 0, entries: 0 } });
  await proposeAll(replica, MANY);
  await replica.purge();
  assert.equal(kept.log.firstIndex, 1n);
  assert.isUndefined(words.state.durable()?.synced);
  await replica.close();
});

test("disk-based: a snapshot is taken when somebody wants the newest, and the log leads on from it", async () => {
  const kept = new Kept();
  const disk = new Disk();
  const replica = await kept.open(disk);
  await proposeAll(replica, MANY);
  await replica.purge();
  const handler = snapshotHandler(kept.storage, { target: replica });
  const fetchIt = async () => {
    const storage = new MemoryStorage();
    const source = { url: "http://leader", fetch: (request: Request) => handler(request) };
    await pull(storage, [source as never]).result;
    return (await storage.list())[0]!.meta.lastIncludedIndex;
  };
  assert.deepEqual([disk.saves, await kept.storage.list()], [0, []]);
  assert.equal(await fetchIt(), 45n);
  await proposeAll(replica, MANY.slice(0, 15)); // the trigger purges meanwhile
  await replica.purge();
  assert.equal(kept.log.firstIndex, 46n, "who loads 45 goes on with 46");
  assert.equal(await fetchIt(), 45n);
  assert.equal(disk.saves, 1);
  kept.clock.advance(600_000);
  await replica.purge();
  assert.equal(kept.log.firstIndex, 61n, "not for ever");
  assert.equal(await fetchIt(), 60n);
  assert.equal(disk.saves, 2);
  const list = await (await handler(new Request("http://leader/snapshots"))).json();
  assert.lengthOf(list, 2);
  await handler.close();
  await replica.close();
});

test("disk-based: members, and what is to be preserved, hold the log; the gap is heeded; a snapshot there does not", async () => {
  const member = { matchIndex: 5n, lastSeen: 1_000_000 };
  for (
    const [purge, firstIndex] of [
      [{ gap: 1 }, 46n],
      [{ gap: 1, members: () => [member] }, 6n],
      [{ gap: 1, members: () => [member], upToSnapshotIndex: true }, 46n],
      [{ gap: 1, preserve: 40 }, 6n],
      [{ gap: 46 }, 1n],
    ] as const
  ) {
    const kept = new Kept();
    const replica = await kept.open(new Disk(), { purge, triggers: { interval: 0, entries: 0 } });
    await proposeAll(replica, MANY.slice(0, 2));
    await replica.snapshot().result; // is there, and then too old to say anything
    kept.clock.advance(600_000);
    member.lastSeen = kept.clock.monotonic();
    await proposeAll(replica, MANY.slice(2));
    await replica.purge();
    assert.equal(kept.log.firstIndex, firstIndex, JSON.stringify(Object.keys(purge)));
    await replica.close();
  }
});

test("disk-based: what a machine cannot have is refused, and nothing of the log goes for it", async () => {
  const cases: [Partial<DurablyApplied>, string][] = [
    [{ index: 3n, synced: 4n }, "which is more"],
    [{ index: 3 as never }, "index"],
    [{ synced: -1n }, "synced"],
    [{ term: undefined as never }, "term"],
  ];
  for (const [says, text] of cases) {
    const kept = new Kept();
    const disk = new Disk();
    disk.says = says;
    assert.include((await rejects(kept.open(disk), "MALFORMED")).message, text);
  }
  for (const lie of [{ index: 99n, synced: 99n }, { term: 7n }] as const) {
    const kept = new Kept();
    const disk = new Disk();
    const replica = await kept.open(disk, { triggers: { interval: 0, entries: 0 } });
    await proposeAll(replica, MANY);
    disk.says = lie;
    await replica.purge();
    assert.deepEqual(kept.errors("purgeFailed"), ["MALFORMED"]);
    assert.equal(kept.log.firstIndex, 1n);
    await replica.close();
  }
  for (const [index, code] of [[50n, "UNAVAILABLE"], [3n, "CORRUPT"]] as const) {
    const kept = new Kept();
    await kept.log.reset(9n, 1n);
    await kept.log.append([{ index: 10n, term: 1n, data: command("x") }]);
    const disk = new Disk();
    disk.says = { index, term: 1n, synced: index };
    await rejects(kept.open(disk), code);
    assert.deepEqual([kept.log.firstIndex, kept.log.lastIndex], [10n, 10n]);
  }
});

test("disk-based: a flush that fails purges nothing, and is retried", async () => {
  const kept = new Kept();
  const disk = new Disk();
  const replica = await kept.open(disk, { retry: { initial: 1000, max: 1000 } });
  disk.failure = new Error("The disk is full");
  await proposeAll(replica, MANY);
  await turns();
  assert.equal(kept.log.firstIndex, 1n);
  assert.isAbove(kept.errors("purgeFailed").length, 0);
  disk.failure = undefined;
  kept.clock.advance(3000);
  await replica.purge();
  assert.equal(kept.log.firstIndex, 46n);
  assert.equal(disk.saves, 0);
  await replica.close();
});

test("disk-based: once a sync has failed its database is not believed, and snapshots are taken instead", () =>
  inTemp(async (directory) => {
    const kept = new Kept();
    const database = await databases.SQLite!(`${directory}/state`);
    let failing = false;
    const engine = overriding(database.engine, {
      sync: () => failing ? Promise.reject(new Error("disk I/O error")) : database.engine.sync!(),
    });
    const words = await openWords(engine);
    const replica = await kept.open(words.machine, { triggers: { interval: 0, entries: 0 } });
    await proposeAll(replica, MANY);
    failing = true;
    await replica.purge();
    failing = false;
    assert.deepEqual(kept.errors("purgeFailed"), ["UNAVAILABLE"]);
    assert.isUndefined(words.state.durable()?.synced, "the system may have dropped what it could not write");
    await replica.purge();
    assert.equal(kept.log.firstIndex, 1n);
    await replica.snapshot().result;
    await proposeAll(replica, ["more"]);
    await replica.snapshot().result;
    assert.equal(kept.log.firstIndex, 46n, "behind the older of two snapshots, as for any machine");
    await replica.close();
    await words.state.close();
  }));

test("disk-based: an old snapshot that cannot be read does not keep a machine closed that has all of it", async () => {
  const kept = new Kept();
  const disk = new Disk();
  const replica = await kept.open(disk);
  await proposeAll(replica, MANY.slice(0, 5));
  await replica.snapshot().result;
  kept.clock.advance(600_000);
  await proposeAll(replica, MANY);
  await replica.purge();
  await replica.close();
  kept.storage.unreadable = () => Promise.resolve([{ index: 5n, error: new Error("EIO") }] as never);
  kept.storage.list = () => Promise.resolve([]);
  const again = await kept.open(disk);
  assert.equal(again.status().appliedIndex, 50n);
  await again.close();
});
