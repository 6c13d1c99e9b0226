import { StoredState } from "../../mod.ts";
import { stateConformance } from "../conformance/mod.ts";
import { testAll } from "../harness.ts";
import { removeDirectory, tempDirectory } from "../temp.ts";
import { type Database, databases } from "./databases.ts";

for (const [name, open] of Object.entries(databases)) {
  testAll(
    `keyed state in ${name}`,
    stateConformance(async () => {
      const directory = await tempDirectory();
      const opened: Database[] = [];
      return {
        async make(options) {
          const database = await open(`${directory}/${opened.length}`);
          opened.push(database);
          return await StoredState.open(database.engine, options);
        },
        async cleanUp() {
          for (const database of opened) await database.close();
          await removeDirectory(directory);
        },
      };
    }),
  );
}
