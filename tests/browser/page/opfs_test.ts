// The storage in OPFS, in the page and in a dedicated worker.

import { OpfsStorage } from "../../../src/storage/opfs/storage.ts";
import { storageConformance } from "../../../src/testing/mod.ts";
import { testAll } from "../../support/harness.ts";
import { flipByte, freshDirectory, removeDirectory } from "./kit.ts";

testAll(
  "OpfsStorage",
  storageConformance(async () => {
    const directory = freshDirectory();
    const storage = await OpfsStorage.open(directory, { retain: 2 });
    return {
      storage,
      spoil: (index) => flipByte(directory, Number(index), 0),
      cleanUp: () => removeDirectory(directory),
    };
  }),
);
