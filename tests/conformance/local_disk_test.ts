import { rm } from "node:fs/promises";
import { defaultDisk } from "../../src/fs/mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { directoryOf, flip } from "../support/directory_storage.ts";
import { testAll } from "../support/harness.ts";
import { tempDirectory } from "../support/temp.ts";
import { diskConformance, logConformance, storageConformance } from "../../src/testing/mod.ts";

testAll(
  "the disk",
  diskConformance(async () => {
    const directory = await tempDirectory();
    return { disk: defaultDisk(), directory, cleanUp: () => rm(directory, { recursive: true }) };
  }),
);

testAll(
  "DirectoryStorage",
  storageConformance(async () => {
    const directory = await tempDirectory();
    const storage = await DirectoryStorage.open(`${directory}/storage`, { retain: 2 });
    return {
      storage,
      spoil: (index) => flip(`${directoryOf(`${directory}/storage`, index)}/state`, 0),
      cleanUp: () => rm(directory, { recursive: true }),
    };
  }),
);

testAll(
  "SqliteLog",
  logConformance(async () => {
    const directory = await tempDirectory();
    let log = await SqliteLog.open(`${directory}/log.db`);
    return {
      log,
      async reopen() {
        await log.close();
        return log = await SqliteLog.open(`${directory}/log.db`);
      },
      cleanUp: () => rm(directory, { recursive: true }),
    };
  }),
);
