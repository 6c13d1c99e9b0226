/**
 * A directory of the caller's own in which snapshots are written before they are committed.
 *
 * @module
 */

import { resolve } from "node:path";
import { join } from "@std/path";
import { SnapshotError } from "../../errors.ts";
import type { Disk } from "../../fs/mod.ts";
import { sha256, toHex } from "../../stream/mod.ts";
import { trashDirectory } from "../layout.ts";

/**
 * Returns the path of a storage's part of a temporary directory, after it was seen that a rename leads from there to
 * the root: a commit is a rename.
 *
 * @throws {SnapshotError} `UNSUPPORTED` if it is on another device, `MALFORMED` if it is below the root
 */
export async function tempPath(disk: Disk, root: string, temp: string): Promise<string> {
  if (`${resolve(temp)}/`.startsWith(`${resolve(root)}/`)) {
    throw new SnapshotError("MALFORMED", `The temporary directory ${temp} is in the storage at ${root}: leave it out`, {
      file: temp,
    });
  }
  await disk.makeDirectory(temp);
  // Several storages may be given the same one.
  const name = `snapstream-${toHex(await sha256(new TextEncoder().encode(resolve(root)))).slice(0, 16)}`;
  const [probe, target] = [join(temp, `${name}-probe`), join(root, trashDirectory())];
  await disk.makeDirectory(probe);
  try {
    await disk.rename(probe, target);
  } catch (error) {
    await disk.remove(probe).catch(() => {});
    if (((error as Error).cause as { code?: unknown } | undefined)?.code !== "EXDEV") throw error;
    throw new SnapshotError(
      "UNSUPPORTED",
      `The temporary directory ${temp} is on another device than ${root}: what is written there could not become a ` +
        `snapshot all at once. Name one on the same file system`,
      { file: temp, cause: error },
    );
  }
  await disk.remove(target);
  return join(temp, name);
}
