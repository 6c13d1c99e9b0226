/**
 * Snapshots in a browser: in the file system of an origin (OPFS). Works in pages and in workers, also offline.
 *
 * @example
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
 * ```
 *
 * @module
 */

export { OpfsStorage, type OpfsStorageOptions } from "./storage/opfs/storage.ts";
export type { OpfsDirectory, OpfsFile, OpfsHandle, OpfsWritable } from "./storage/opfs/handles.ts";
