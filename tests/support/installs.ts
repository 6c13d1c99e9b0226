// Installs, whose chunks go by their numbers in the content, for tests that think in files.

import type { SnapshotInstall } from "../../mod.ts";

export { missingOf } from "../../src/testing/storage_kit.ts";

/** The number in the content of a chunk of a file. */
export function numberOf({ manifest: { content } }: SnapshotInstall, name: string, chunk: number): number {
  return content.firstChunk(name) + chunk;
}

/** Writes a chunk of a file. */
export function writeChunk(install: SnapshotInstall, name: string, chunk: number, bytes: Uint8Array): Promise<void> {
  return install.write(numberOf(install, name, chunk), bytes);
}
