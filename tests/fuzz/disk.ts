// The targets that need a disk, or `node:sqlite`.

import type { Target } from "./target.ts";
import { braft, braftShared } from "./targets/braft.ts";
import { braftFrames } from "./targets/braft_frames.ts";
import { directory } from "./targets/directory.ts";
import { formats } from "./targets/formats.ts";
import { rocksdb } from "./targets/rocksdb.ts";
import { sqliteLog } from "./targets/sqlite_log.ts";

/** The targets that need a disk. */
export const diskTargets: readonly Target[] = [
  ...[directory, sqliteLog, rocksdb, braft, braftFrames],
  ...formats,
  ...braftShared,
];
