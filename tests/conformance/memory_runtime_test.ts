import { MemoryLog, MemoryStorage } from "../../mod.ts";
import { testAll } from "../support/harness.ts";
import { logConformance, storageConformance } from "./mod.ts";

const cleanUp = () => Promise.resolve();

testAll(
  "MemoryStorage",
  storageConformance(() => Promise.resolve({ storage: new MemoryStorage({ retain: 2 }), cleanUp })),
);
testAll("MemoryLog", logConformance(() => Promise.resolve({ log: new MemoryLog(), cleanUp })));
