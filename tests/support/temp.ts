import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

/** A new directory. */
export function tempDirectory(): Promise<string> {
  return mkdtemp(`${tmpdir()}/snapstream-`);
}

/** Removes a directory with everything in it. */
export function removeDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true });
}

/** Does something in a new directory, which is gone afterwards. */
export async function inTemp<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await tempDirectory();
  try {
    return await work(directory);
  } finally {
    await removeDirectory(directory);
  }
}
