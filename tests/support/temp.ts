import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

/** A new directory. */
export function tempDirectory(under: string = tmpdir()): Promise<string> {
  return mkdtemp(`${under}/snapstream-`);
}

/** A directory in memory, if the system has one: where nothing is to survive, syncing to a disk is most of the time. */
export async function memoryDirectory(): Promise<string> {
  return await access("/dev/shm", constants.W_OK).then(() => "/dev/shm", () => tmpdir());
}

/** Removes a directory with everything in it. */
export function removeDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true });
}

/** Does something in a new directory, which is gone afterwards. */
export async function inTemp<T>(work: (directory: string) => Promise<T>, under?: string): Promise<T> {
  const directory = await tempDirectory(under);
  try {
    return await work(directory);
  } finally {
    await removeDirectory(directory);
  }
}
