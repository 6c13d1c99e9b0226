// Which snapshots a backup keeps, by number and by time.

import type { SnapshotInfo } from "../../mod.ts";
import { keptFor } from "../../src/backup/snapshots.ts";
import { assert, test } from "../support/harness.ts";

/** Snapshots that were taken at these times, the newest first. */
function taken(...times: number[]): SnapshotInfo[] {
  return times.map((createdAt, i) => {
    const meta = { lastIncludedIndex: BigInt(100 - i), lastIncludedTerm: 1n, peers: [], createdAt };
    return { meta, digest: new Uint8Array(32), size: 1, files: 1 } as unknown as SnapshotInfo;
  });
}

test("a backup keeps so many snapshots, and those from which any point of a time can be restored", () => {
  const snapshots = taken(1000, 900, 800, 500, 100);
  const kept = (retain: number, keep: number) => keptFor(snapshots, { retain, keep }).map(({ meta }) => meta.createdAt);
  assert.deepEqual(kept(2, 0), [1000, 900]);
  assert.deepEqual(kept(1, 150), [1000, 900, 800], "the one that leads into the time");
  assert.deepEqual(kept(1, 200), [1000, 900, 800]);
  assert.deepEqual(kept(1, 201), [1000, 900, 800, 500]);
  assert.deepEqual(kept(4, 50), [1000, 900, 800, 500]);
  assert.deepEqual(kept(1, 5000), [1000, 900, 800, 500, 100], "all, while none is older");
  assert.deepEqual(keptFor([], { retain: 2, keep: 9 }), []);
});
