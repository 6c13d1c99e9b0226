import { sha256 } from "../../src/stream/mod.ts";
import { assert, test } from "../support/harness.ts";

test("sha256: of chunk after chunk, in whatever way, it lets the event loop turn", async () => {
  const chunk = new Uint8Array(256 * 1024);
  let turns = 0;
  let hashing = true;
  const turn = () => {
    turns++;
    if (hashing) setImmediate(turn);
  };
  setImmediate(turn);
  for (let i = 0; i < 128; i++) await sha256(chunk);
  hashing = false;
  assert.isAtLeast(turns, 5); // of 32 MiB, four at a time are hashed at most
  await new Promise<void>((resolve) => setImmediate(() => resolve()));
});
