/**
 * Snapshots in a browser: in the file system of an origin (OPFS). Works in pages and in workers, also offline.
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
export type { OpfsDirectory, OpfsFile, OpfsHandle, OpfsWritable } from "./storage/opfs/handles.ts";
