import { MemoryLog, MemoryStorage } from "../../mod.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { testAll } from "../support/harness.ts";
import { logConformance, storageConformance } from "../../src/testing/mod.ts";

const cleanUp = () => Promise.resolve();

testAll(
  "MemoryStorage",
  storageConformance(() => Promise.resolve({ storage: new MemoryStorage({ retain: 2 }), cleanUp })),
);
testAll(
  "A storage in memory that goes bad",
  storageConformance(() => {
    const storage = new SpoiledStorage({ retain: 2 });
    return Promise.resolve({
      storage,
      spoil: (index) => Promise.resolve(storage.spoil(index)),
      cleanUp,
    });
  }).filter(({ name }) => /quarantine/.test(name)),
);
testAll("MemoryLog", logConformance(() => Promise.resolve({ log: new MemoryLog(), cleanUp })));
