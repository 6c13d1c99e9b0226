import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { equal } from "../../src/stream/mod.ts";
import { assert, noise, pieces, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

test("a reader's pieces may be given away with their memory: the next ones are not in it", () =>
  inTemp(async (root) => {
    const state = noise(3_000_000, 1);
    const storage = await DirectoryStorage.open(root);
    const writer = await storage.create();
    await pieces(state).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    const reader = await storage.open();
    for (const [start, end] of [[0, state.length], [100_000, 2_900_000], [5, 6]] as const) {
      let at = start;
      for await (const piece of reader.file("state", { start, end })) {
        const taken = structuredClone(piece, { transfer: [piece.buffer] });
        assert.isTrue(equal(taken, state.subarray(at, at + taken.length)), `at ${at} of ${start} to ${end}`);
        at += taken.length;
      }
      assert.strictEqual(at, end);
    }
    await reader.close();
    await storage.close();
  }));
