// A replica on a disk: what survives, and what is done about what does not.

import fc from "fast-check";
import { open as openFile, readdir } from "node:fs/promises";
import { jsonCodec, KeyValueMachine, Replica, type ReplicaOptions } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, rejects, test, turns } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { byGroups } from "../support/states.ts";
import { inTemp } from "../support/temp.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { bytes } from "../support/parts.ts";
import { Probe } from "../support/probe.ts";

type Options = Partial<ReplicaOptions<Probe>> & { readonly retain?: number };

async function open(directory: string, { retain = 2, ...options }: Options = {}): Promise<Replica<Probe>> {
  const storage = await DirectoryStorage.open(`${directory}/snapshots`, { retain, durability: "none" });
  const log = await SqliteLog.open(`${directory}/log.db`);
  try {
    const triggers = { interval: 0, entries: 0 };
    return await Replica.open({ machine: new Probe(), clock: new FakeClock(), log, storage, triggers, ...options });
  } catch (error) {
    await log.close();
    await storage.close();
    throw error;
  }
}

async function fill(replica: Replica<Probe>, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => replica.propose(bytes(`${i}`))));
}

/** Changes a byte in the middle of a snapshot's file, as a bad disk does. */
async function rot(directory: string, index: bigint, file = "state"): Promise<void> {
  const path = `${directory}/snapshots/snapshot_${`${index}`.padStart(20, "0")}/${file}`;
  const handle = await openFile(path, "r+");
  const { size } = await handle.stat();
  const byte = new Uint8Array(1);
  await handle.read(byte, 0, 1, size >> 1);
  byte[0]! ^= 1;
  await handle.write(byte, 0, 1, size >> 1);
  await handle.close();
}

test("reopen: a log, a snapshot, a purged log: the same state each time", () =>
  inTemp(async (directory) => {
    let state = "";
    for (let round = 0; round < 4; round++) {
      const replica = await open(directory, { purge: { gap: 1 } });
      assert.equal(replica.machine.state, state);
      await fill(replica, 200);
      if (round > 0) await replica.snapshot().result;
      await replica.reconfigure({ peers: [`${round}`] });
      await fill(replica, 100);
      state = replica.machine.state;
      assert.equal(replica.status().appliedIndex, BigInt(301 * (round + 1)));
      await replica.close();
    }
    const replica = await open(directory);
    assert.equal(replica.machine.state, state);
    assert.deepEqual(replica.status().configuration, { peers: ["3"] });
    assert.equal(replica.status().firstIndex, 803n); // behind the older of the snapshots at 802 and 1103
    await replica.close();
  }));

for (const file of ["state", "__raft_snapshot_meta"]) {
  test(`recovery: of a snapshot whose ${file} is rotten nothing is loaded; the one before it and the log do`, () =>
    inTemp(async (directory) => {
      const first = await open(directory, { purge: { gap: 1 } });
      for (let i = 0; i < 3; i++) {
        await fill(first, 10);
        await first.snapshot().result;
      }
      await fill(first, 5);
      const { state } = first.machine;
      await first.close();
      await rot(directory, 30n, file);

      const second = await open(directory);
      assert.equal(second.machine.state, state);
      assert.equal(second.status().snapshot?.meta.lastIncludedIndex, 20n);
      assert.isTrue((await second.snapshot().result).taken);
      await second.close();
      const names = await readdir(`${directory}/snapshots`);
      assert.equal(names.filter((name) => name.startsWith("corrupt-")).length, 1, "it is kept for a person");
    }));
}

test("recovery: when all snapshots are rotten and the log was purged, that is said, and nothing is made up", () =>
  inTemp(async (directory) => {
    const first = await open(directory, { purge: { gap: 1 } });
    for (let i = 0; i < 3; i++) {
      await fill(first, 10);
      await first.snapshot().result;
    }
    await first.close();
    await rot(directory, 20n);
    await rot(directory, 30n);
    const error = await rejects(open(directory), "CORRUPT");
    assert.deepEqual([error.expected, error.actual], [1n, 21n]);
  }));

test("recovery: with one snapshot, and that one rotten, the log has all", () =>
  inTemp(async (directory) => {
    const first = await open(directory, { purge: { gap: 1 } });
    await fill(first, 10);
    await first.snapshot().result;
    const { state } = first.machine;
    await first.close();
    await rot(directory, 10n);
    const second = await open(directory);
    assert.equal(second.machine.state, state);
    await second.close();
  }));

test("recovery: a snapshot that is found rotten while it runs does not keep the next from being taken", () =>
  inTemp(async (directory) => {
    const storage = await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none" });
    const log = await SqliteLog.open(`${directory}/log.db`);
    const replica = await Replica.open({ machine: new Probe(), log, storage, triggers: { interval: 0 } });
    await fill(replica, 10);
    await replica.snapshot().result;
    await rot(directory, 10n);
    const reader = await storage.open();
    assert.isFalse((await reader.verify().result).ok);
    assert.isUndefined(replica.status().snapshot);
    await reader.close();
    await fill(replica, 1);
    while (replica.status().state === "saving") await turns(1); // one is due at once
    const { taken, snapshot } = await replica.snapshot().result;
    assert.isTrue(taken || snapshot !== undefined);
    assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 11n);
    await replica.close();
  }));

for (const incremental of [false, true]) {
  test(`a model of what was acknowledged: whatever is saved, purged, closed and rots, all of it is there${incremental ? " (incremental)" : ""}`, () =>
    inTemp(async (root) => {
      const step = fc.record({
        puts: fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.option(fc.nat(9))), { maxLength: 12 }),
        save: fc.boolean(),
        overlap: fc.boolean(),
        reopen: fc.boolean(),
        rot: fc.boolean(),
      });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
          const directory = `${root}/${run++}`;
          const model = new Map<string, number>();
          let replica = await openKeys(directory, incremental);
          for (const { puts, save, overlap, reopen, rot: rots } of steps) {
            const { machine } = replica;
            const proposed = puts.map(([key, value]) => {
              if (value === null) model.delete(key);
              else model.set(key, value);
              return replica.propose(value === null ? machine.delete(key) : machine.put(key, value));
            });
            if (!overlap) await Promise.all(proposed);
            const taken = save ? replica.snapshot().result : undefined;
            await Promise.all(proposed);
            await taken;
            if (!reopen) continue;
            const { snapshot } = replica.status();
            await replica.close();
            // One that rots is borne: there is one before it, or the whole log. (Incremental ones share a file.)
            if (!incremental && rots && save && (await taken)?.taken) {
              await rot(directory, snapshot!.meta.lastIncludedIndex, "state/0000");
            }
            replica = await openKeys(directory, incremental);
            assert.deepEqual([...replica.machine.entries()], byGroups(model));
          }
          assert.deepEqual([...replica.machine.entries()], byGroups(model));
          await replica.close();
        }),
        { numRuns: runs(25) },
      );
    }));
}

async function openKeys(directory: string, incremental: boolean): Promise<Replica<KeyValueMachine<number>>> {
  const storage = await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none" });
  const log = await SqliteLog.open(`${directory}/log.db`);
  const machine = new KeyValueMachine(jsonCodec<number>(), { incremental: incremental && { maxShare: 10 } });
  return await Replica.open({ machine, log, storage, triggers: { interval: 0 }, purge: { gap: 1 } });
}
