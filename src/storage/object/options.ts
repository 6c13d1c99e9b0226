/**
 * Options of a storage in a bucket.
 *
 * @module
 */

import { checkKeyPrefix } from "../../bucket/mod.ts";
import { checkFunction, checkOptions, duration, integer } from "../../checks.ts";
import { MAX_CHUNK_SIZE } from "../../stream/mod.ts";
import type { FailingTask } from "../../async/mod.ts";
import type { BackgroundTask } from "./background.ts";
import { storageChecks, type StorageOptions } from "../storage_options.ts";

/** The size of the largest packs: four of them are in memory. */
const MAX_PACK_SIZE = 2 ** 30;

/** Options of {@linkcode ObjectStorage.open}. */
export interface ObjectStorageOptions extends StorageOptions {
  /**
   * The prefix of all keys, such as `"room-17/"`. The same bucket and prefix are the same storage.
   *
   * @default {""}
   */
  readonly prefix?: string;
  /**
   * The bytes of a pack, 4 MiB to 1 GiB: the data of one request, in either direction. Four packs are in memory while a
   * snapshot is written, and three for each file that is being read; up to seven, but no more than 56 MiB, if its
   * reader waits for them.
   *
   * @default {8388608}
   */
  readonly packSize?: number;
  /**
   * The milliseconds for which retired snapshots stay, since other processes may be reading them; readers that take
   * longer protect theirs with a lease in time. The clocks of all processes must agree to within a fraction of it when
   * they open the bucket; a clock that jumps afterwards is ignored.
   *
   * @default {3600000}
   */
  readonly grace?: number;
  /**
   * The milliseconds for which an interrupted install is kept to be resumed.
   *
   * @default {604800000}
   */
  readonly keepInstalls?: number;
  /**
   * Called when a background task has failed ten times in a row, and after each ten more: deleting what is not needed
   * any more, renewing a lease. Each single failure is a warning, and {@linkcode ObjectStorage.failing} has them all.
   */
  readonly onFailing?: (task: FailingTask<BackgroundTask>) => void;
}

/** Checks the options. */
export function checkObjectOptions(options: ObjectStorageOptions): ObjectStorageOptions {
  return checkOptions(options, {
    ...storageChecks(),
    prefix: checkKeyPrefix,
    packSize: integer(MAX_CHUNK_SIZE, MAX_PACK_SIZE),
    grace: duration(),
    keepInstalls: duration(),
    onFailing: checkFunction,
  });
}
