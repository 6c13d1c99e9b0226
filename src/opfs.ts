/**
 * Snapshots and logs in a browser: in the file system of an origin (OPFS), also offline. Snapshots work in pages and in
 * workers, logs in dedicated workers.
 *
 * A `pull` that a reload interrupts resumes after it, and what is there is there offline. One tab has a storage open
 * for writing; another one opens it `readOnly`, or waits for the lock (`wait`). A page: `tests/examples/offline_page`
 * of the repository.
 *
 * ```ts
 * import { pull } from "@snapstream/snapstream";
 * import { OpfsStorage } from "@snapstream/snapstream/opfs";
 *
 * async function refresh(url: string, show: (share: number) => void): Promise<OpfsStorage> {
 *   const storage = await OpfsStorage.open("leaderboard");
 *   const pulling = pull(storage, [url]);
 *   for await (const { bytes, total } of pulling) show(bytes / (total ?? Infinity));
 *   await pulling; // `upToDate` if it was here already
 *   return storage;
 * }
 * console.assert(refresh.length === 2);
 * ```
 *
 * @module
 */

export { OpfsStorage, type OpfsStorageOptions } from "./storage/opfs/storage.ts";
export { OpfsLog, type OpfsLogOptions } from "./log/opfs/log.ts";
export type { OpfsAccess, OpfsDirectory, OpfsFile, OpfsHandle, OpfsWritable } from "./opfs/mod.ts";
