// A replica whose state is in a database: applied, saved while it is applied, killed (that is: never closed), and opened anew.

import {
  jsonCodec,
  type LogEntry,
  Replica,
  type SaveTask,
  type SnapshotReader,
  type StateMachine,
  StoredState,
  type StoredValue,
  stringKeys,
} from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { databases } from "../support/databases.ts";

/** Counts words. */
class Words implements StateMachine {
  readonly state: StoredState<string>;
  readonly counts: StoredValue<string, number>;

  constructor(state: StoredState<string>) {
    this.state = state;
    this.counts = state.value("counts", jsonCodec<number>());
  }

  async apply({ data }: LogEntry): Promise<void> {
    const word = new TextDecoder().decode(data);
    await this.counts.set(word, (await this.counts.get(word) ?? 0) + 1);
  }

  save(): SaveTask {
    return this.state.save();
  }

  load(reader: SnapshotReader): Promise<void> {
    return this.state.load(reader);
  }

  async content(): Promise<Record<string, number>> {
    return Object.fromEntries((await Array.fromAsync(this.counts.entries())).sort(([a], [b]) => a < b ? -1 : 1));
  }
}

for (const [name, openDatabase] of Object.entries(databases)) {
  test(`a replica with its state in ${name}: saved while it is applied, and there again after each restart`, () =>
    inTemp(async (directory) => {
      const expected: Record<string, number> = {};
      for (let round = 0; round < 4; round++) {
        const database = await openDatabase(`${directory}/state`);
        const state = await StoredState.open(database.engine, { keys: stringKeys(), incremental: { maxShare: 10 } });
        const replica = await Replica.open({
          machine: new Words(state),
          log: await SqliteLog.open(`${directory}/log.db`),
          storage: await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none" }),
          triggers: { interval: 0 },
          purge: { gap: 1 },
        });
        const sorted = Object.fromEntries(Object.entries(expected).sort(([a], [b]) => a < b ? -1 : 1));
        assert.deepEqual(await replica.machine.content(), sorted, `round ${round}`);
        const propose = async (from: number, to: number) => {
          for (let i = from; i < to; i++) {
            const word = `word ${i * 31 % 47}`;
            expected[word] = (expected[word] ?? 0) + 1;
            await replica.propose(new TextEncoder().encode(word));
          }
        };
        await propose(round * 100, round * 100 + 50);
        const [{ snapshot, taken }] = await Promise.all([
          replica.snapshot().result,
          propose(round * 100 + 50, round * 100 + 70),
        ]);
        assert.isTrue(taken);
        assert.equal(snapshot!.files, round + 1); // built upon what was loaded
        await propose(round * 100 + 70, round * 100 + 100);
        await replica.close();
        await state.close();
        await database.close();
      }
    }));
}
