// A replica whose state is in a database: applied, saved while it is applied, killed (that is: never closed), and opened anew.

import { Replica } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { databases } from "../support/databases.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { command, contentAfter, openWords } from "../support/words.ts";

for (const [name, openDatabase] of Object.entries(databases)) {
  test(`a replica with its state in ${name}: saved while it is applied, and there again after each restart`, () =>
    inTemp(async (directory) => {
      const said: string[] = [];
      for (let round = 0; round < 3; round++) {
        const database = await openDatabase(`${directory}/state`);
        const words = await openWords(database.engine, { incremental: { maxShare: 1000 } });
        const replica = await Replica.open({
          machine: words.machine,
          log: await SqliteLog.open(`${directory}/log.db`),
          storage: await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none" }),
          triggers: { interval: 0 },
          purge: { gap: 1 },
        });
        assert.equal(await words.content(), await contentAfter(said), `round ${round}`);
        const propose = async (count: number) => {
          for (let i = 0; i < count; i++) {
            said.push(`word ${said.length * 31 % 47}`);
            await replica.propose(command(said.at(-1)!));
          }
        };
        // A database that is gone has loaded the newest snapshot, and builds upon it; others build upon what they have saved.
        const before = name === "memory-level" ? 2 * round : 0;
        for (const files of [before + 1, before + 2]) {
          await propose(25);
          const [{ snapshot, taken }] = await Promise.all([replica.snapshot().result, propose(10)]);
          assert.isTrue(taken);
          assert.equal(snapshot!.files, files);
        }
        await propose(30);
        await replica.close();
        await words.state.close();
        await database.close();
      }
    }));
}
