import { KeyedState } from "../../mod.ts";
import { stateConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";

testAll(
  "keyed state in memory",
  stateConformance(() =>
    Promise.resolve({
      make: (options) => Promise.resolve(new KeyedState(options)),
      cleanUp: () => Promise.resolve(),
    })
  ),
);
