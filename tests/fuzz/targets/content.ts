// Reading what was taken in, against its manifest: with nothing of the library between the bytes and their SHA-256.

import type { SnapshotManifest, SnapshotReader, SnapshotStorage } from "../../../mod.ts";
import { concat, equal, toHex } from "../../../src/stream/mod.ts";
import { law, must } from "../target.ts";

/** The SHA-256 of bytes, by the platform. */
async function platformDigest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

/** Everything in a file. */
export async function contentOf(reader: SnapshotReader, name: string, raw = true): Promise<Uint8Array> {
  return concat(await Array.fromAsync(reader.file(name, { raw })));
}

/** Fails unless a file has the bytes that its manifest says. */
export async function checkFile(manifest: SnapshotManifest, name: string, bytes: Uint8Array): Promise<void> {
  const chunks = manifest.file(name).chunks!;
  law(bytes.length === chunks.size, `${JSON.stringify(name)} has its size`);
  for (let i = 0; i < chunks.count; i++) {
    const digest = await platformDigest(bytes.subarray(chunks.offset(i), chunks.offset(i) + chunks.length(i)));
    law(equal(digest, chunks.digest(i)), `chunk ${i} of ${JSON.stringify(name)} has its SHA-256`);
  }
}

/** Fails unless the newest snapshot is all that its manifest says. Gives its digest. */
export async function checkNewest(storage: SnapshotStorage): Promise<string> {
  const reader = await must("it was taken in and is opened", () => storage.open());
  try {
    for (const { name } of reader.manifest.files) {
      await checkFile(reader.manifest, name, await must("it was taken in and is read", () => contentOf(reader, name)));
    }
    return toHex(reader.manifest.digest);
  } finally {
    await reader.close();
  }
}
