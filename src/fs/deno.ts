/**
 * The disk of Deno: its own directory verbs, with the file handles and locks of `node.ts`.
 *
 * @module
 */

import { ensureDir } from "@std/fs";
import type { DiskEntry, DiskStat } from "./disk.ts";
import { onDisk } from "./errors.ts";
import { NodeDisk } from "./node.ts";

/** The disk of Deno. */
export class DenoDisk extends NodeDisk {
  override stat(path: string): Promise<DiskStat | undefined> {
    return onDisk("look at", path, async () => {
      try {
        const stat = await Deno.lstat(path);
        return { kind: kindOf(stat), size: stat.size, changedAt: stat.mtime?.getTime() ?? 0 };
      } catch (error) {
        if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
        throw error;
      }
    });
  }

  override list(path: string): Promise<DiskEntry[]> {
    return onDisk("list", path, async () => {
      const entries: DiskEntry[] = [];
      for await (const entry of Deno.readDir(path)) entries.push({ name: entry.name, kind: kindOf(entry) });
      return entries;
    });
  }

  override makeDirectory(path: string): Promise<void> {
    return onDisk("make", path, async () => {
      try {
        if (path !== "") return await ensureDir(path); // it treats an empty path as an existing directory
      } catch {
        // In some releases its errors are plain text; those of the platform have codes.
      }
      // In one call: made one by one, as elsewhere, they would need permission to write to the parent as well.
      await Deno.mkdir(path, { recursive: path !== "" });
    });
  }

  override rename(from: string, to: string): Promise<void> {
    return onDisk("rename", from, () => Deno.rename(from, to));
  }

  override remove(path: string): Promise<void> {
    return onDisk("remove", path, async () => {
      try {
        await Deno.remove(path, { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    });
  }
}

function kindOf(entry: { isFile: boolean; isDirectory: boolean }): DiskStat["kind"] {
  return entry.isFile ? "file" : entry.isDirectory ? "directory" : "other";
}
