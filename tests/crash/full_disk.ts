// A file system of a few MiB, mounted for one process alone, which fills it.

import { spawnSync } from "node:child_process";
import { commandOf } from "../support/child.ts";

/** What came of it: how often it was full, and how often not. */
export interface FullDisk {
  readonly saves: number;
  readonly full: number;
  readonly proposals: number;
  readonly refused: number;
}

/**
 * Fills a disk.
 *
 * @param directory empty; where the file system is mounted
 * @returns what came of it; nothing where no file system can be mounted
 */
export function fillDisk(directory: string): FullDisk | undefined {
  return onSmallDisk(directory, "4m", "tests/crash/full_disk_child.ts") as FullDisk | undefined;
}

/**
 * Has logs fill a disk, in every order.
 *
 * @param directory empty; where the file system is mounted
 * @returns how many ways out were tried; nothing where no file system can be mounted
 */
export function fillLog(directory: string): number | undefined {
  return onSmallDisk(directory, "16m", "tests/crash/full_log_child.ts") as number | undefined;
}

function onSmallDisk(directory: string, size: string, child: string): unknown {
  // In name spaces of its own, so that one need not be root, and nothing stays mounted whatever becomes of it.
  const inside = (...program: string[]) =>
    spawnSync(
      "unshare",
      ["-rm", "sh", "-c", `mount -t tmpfs -o size=${size} none "$0" && exec "$@"`, directory, ...program],
      {
        encoding: "utf8",
      },
    );
  if (inside("true").status !== 0) return undefined;
  const { status, stdout, stderr } = inside(...commandOf(child, directory));
  if (status !== 0) throw new Error(`On a full disk it ended with ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}
