/**
 * Snapshots that other systems wrote: detected, opened, verified, listed. Runs everywhere; files of a disk come from
 * `sourceFiles` of `@snapstream/snapstream/fs`.
 *
 * @example
 * ```ts
 * import { blobFiles, SYSTEMS } from "@snapstream/snapstream/formats";
 *
 * console.assert(SYSTEMS.includes("consul"));
 * console.assert(blobFiles(new Blob(["x"]), "a").entries.length === 1);
 * ```
 *
 * @module
 */

export * from "./format/mod.ts";
