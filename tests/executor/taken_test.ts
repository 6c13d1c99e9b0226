// What a snapshot says of its taking: the time of its synchronous part, or the caller's, and the entry that its state
// corresponds to.

import {
  bytesMachine,
  type Clock,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SaveTask,
  type SnapshotInfo,
  type StateMachine,
  systemClock,
} from "../../mod.ts";
import { save } from "../../src/state/mod.ts";
import { assert, bytesOf, gate, pieces, rejects, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";

/** A machine that counts its entries, and saves the count that it had some entries before. */
class Lagging implements StateMachine {
  readonly counts: { readonly index: bigint; readonly term: bigint }[] = [];
  released = 0;
  said: SaveTask["upTo"];

  readonly #lag: number;

  constructor(lag: number) {
    this.#lag = lag;
  }

  apply({ index, term }: { readonly index: bigint; readonly term: bigint }): void {
    this.counts.push({ index, term });
  }

  save(): SaveTask | undefined {
    const upTo = this.said ?? this.counts.at(-1 - this.#lag);
    if (upTo === undefined) return undefined;
    return {
      upTo,
      write: (writer) => pieces(new TextEncoder().encode(String(upTo.index))).pipeTo(writer.file("count")),
      release: () => void this.released++,
    };
  }

  async load(reader: Parameters<StateMachine["load"]>[0]): Promise<void> {
    const count = Number(new TextDecoder().decode(await bytesOf(reader.file("count"))));
    this.counts.splice(0, Infinity, ...Array.from({ length: count }, (_, i) => ({ index: BigInt(i + 1), term: 1n })));
  }
}

const ONE = new Uint8Array(1);

test("taken: the time is that of the synchronous part, however long the rest takes", async () => {
  let now = 1000;
  const clock: Clock = overriding(systemClock(), { now: () => now });
  const written = gate();
  const machine = overriding(bytesMachine({ apply() {}, encode: () => ONE, decode() {} }), {
    save: () => ({
      async write(writer) {
        now = 5000;
        await pieces(ONE).pipeTo(writer.file("state"));
        await written.promise;
      },
      release() {},
    }),
  });
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage(), clock });
  await replica.propose(ONE);
  const saving = replica.snapshot();
  written.open();
  assert.equal((await saving).snapshot?.meta.createdAt, 1000);
  await replica.propose(ONE);
  assert.equal((await replica.snapshot({ createdAt: 77 })).snapshot?.meta.createdAt, 77);
  await replica.close();
});

test("taken: save() without a replica, too", async () => {
  const storage = new MemoryStorage();
  const machine = bytesMachine({ apply() {}, encode: () => ONE, decode() {} });
  const before = Date.now();
  const made = await save(machine, storage);
  assert.isAtLeast(made!.meta.createdAt!, before);
  assert.equal((await save(machine, storage, { createdAt: 5 }))!.meta.createdAt, 5);
  const lagging = new Lagging(0);
  lagging.apply({ index: 40n, term: 3n });
  const { lastIncludedIndex, lastIncludedTerm } = (await save(lagging, storage))!.meta;
  assert.deepEqual([lastIncludedIndex, lastIncludedTerm], [40n, 3n]);
  await storage.close();
});

test("taken: a machine whose saved state is an earlier one says so, and the entries after it are applied again", async () => {
  const [log, storage] = [new MemoryLog(), new MemoryStorage()];
  const kept = <T extends MemoryLog | MemoryStorage>(it: T) =>
    overriding(it, { close: () => Promise.resolve() } as Partial<T>);
  const events: string[] = [];
  const machine = new Lagging(3);
  const replica = await Replica.open({
    machine,
    log: kept(log),
    storage: kept(storage),
    triggers: { interval: 0, entries: 2 },
    purge: { gap: 1 },
    onEvent: (event) => void (event.type === "saveFailed" && events.push(String(event.error))),
  });
  for (let i = 0; i < 3; i++) await replica.propose(ONE);
  assert.isFalse((await replica.snapshot()).taken); // nothing is old enough
  for (let i = 0; i < 7; i++) await replica.propose(ONE);
  const { snapshot } = await replica.snapshot();
  const newest = snapshot ?? replica.status().snapshot as SnapshotInfo;
  const { lastIncludedIndex } = newest.meta;
  assert.isAtMost(Number(lastIncludedIndex), 7);
  assert.isAtMost(Number(log.firstIndex), Number(lastIncludedIndex) + 1); // the others are needed
  assert.deepEqual(events, []);
  await replica.close(); // which may cancel one

  const again = new Lagging(3);
  const reopened = await Replica.open({ machine: again, log, storage, triggers: { interval: 0 } });
  assert.deepEqual(again.counts.map(({ index }) => index), Array.from({ length: 10 }, (_, i) => BigInt(i + 1)));
  // The same entry once more is nothing new: it is not saved again, and nothing fails.
  again.said = { index: lastIncludedIndex, term: 1n };
  assert.isFalse((await reopened.snapshot()).taken);
  assert.equal(again.released, 1);
  await reopened.close();
});

test("taken: a machine that claims what was not applied is refused, its view released, and nothing purged", async () => {
  for (
    const said of [{ index: 6n, term: 1n }, { index: 0n, term: 0n }, { index: 5n, term: 2n }, { index: 2n, term: 9n }, {
      index: 2 as unknown as bigint,
      term: 1n,
    }]
  ) {
    const [machine, log] = [new Lagging(0), new MemoryLog()];
    machine.said = said;
    const replica = await Replica.open({ machine, log, storage: new MemoryStorage(), triggers: { interval: 0 } });
    for (let i = 0; i < 5; i++) await replica.propose(ONE);
    await rejects(replica.snapshot().result, "MALFORMED");
    assert.equal(machine.released, 1);
    assert.equal(log.firstIndex, 1n);
    assert.isUndefined(replica.status().snapshot);
    machine.said = undefined;
    assert.equal((await replica.snapshot()).snapshot?.meta.lastIncludedIndex, 5n);
    await replica.close();
  }
});
