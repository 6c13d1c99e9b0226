/**
 * The disk.
 *
 * @module
 */

import { DenoDisk } from "./deno.ts";
import type { Disk } from "./disk.ts";
import { NodeDisk } from "./node.ts";

export type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "./disk.ts";

/** The disk of the runtime that this is. */
export function defaultDisk(): Disk {
  return "Deno" in globalThis ? new DenoDisk() : new NodeDisk();
}
