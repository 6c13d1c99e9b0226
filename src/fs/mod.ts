/**
 * The disk.
 *
 * @module
 */

import { able } from "../checks.ts";
import { DenoDisk } from "./deno.ts";
import type { Disk } from "./disk.ts";
import { NodeDisk } from "./node.ts";

export type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "./disk.ts";

export { type FileLock, lockFile } from "./lock.ts";
export { lookNow } from "./look.ts";

/** Checks a disk. */
export function checkDisk(value: unknown, what: string): void {
  able("a Disk", "open", "list", "stat", "rename", "remove")(value, what);
}

/** Returns the disk of the current runtime. */
export function defaultDisk(): Disk {
  return "Deno" in globalThis ? new DenoDisk() : new NodeDisk();
}
