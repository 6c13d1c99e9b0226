// A replica with its state in a real database, killed at every step of a course with all that it does: before the
// odd ones, after the even ones.

import { databases } from "../support/databases.ts";
import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { killAtEachStep, SHORT_COURSE } from "./durable_histories.ts";
import type { Death, MortalDatabase } from "./durable_world.ts";

const isAlternate = ({ step, when }: Death) => (step % 2 === 0) === (when === "after");

for (const [name, openDatabase] of Object.entries(databases)) {
  test(`applied once, in ${name}: killed at every step`, () =>
    inTemp(async (directory) => {
      const counts = { kills: 0, openings: 0, refused: 0 };
      let made = 0;
      const make = (): Promise<MortalDatabase> => {
        const path = `${directory}/${made++}`;
        let opened: ReturnType<typeof openDatabase> | undefined;
        return Promise.resolve({
          isOnDisk: name !== "memory-level",
          open: async () => (await (opened ??= openDatabase(path))).engine,
          async kill() {
            const database = await opened;
            if (database === undefined || name === "memory-level") return;
            opened = undefined;
            await database.engine.close().catch(() => {}); // it may be closed with the state
            await database.close();
          },
        });
      };
      await killAtEachStep(SHORT_COURSE, make, [{ rot: false, lostWrites: 0 }], counts, isAlternate);
      assert.isAbove(counts.openings, 10);
      assert.strictEqual(counts.refused, 0);
    }));
}
