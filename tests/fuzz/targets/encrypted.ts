// Encrypted snapshots that somebody without the key has changed, and made look right.

import { EncryptedStorage, type FileEncryption, MemoryStorage } from "../../../mod.ts";
import { concat, equal } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { noise } from "../../support/harness.ts";
import { mutate } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";
import { contentOf } from "./content.ts";
import { chunksOf, commitFiles, cut, FILES, META, reading } from "./samples.ts";

const KEYS = [{ id: "new", secret: noise(32, 7) }, { id: "old", secret: noise(32, 8) }] as const;

/** A file as it is stored. */
interface Stored {
  chunks: Uint8Array[];
  encryption: FileEncryption | undefined;
}

/** What the samples are when they are encrypted. */
async function sealed(key: number): Promise<Map<string, Stored>> {
  const inner = new MemoryStorage();
  await commitFiles(new EncryptedStorage(inner, [KEYS[key]!]), META, FILES);
  const files = new Map<string, Stored>();
  await reading(inner, async (reader) => {
    for (const file of reader.manifest.files) {
      files.set(file.name, { chunks: cut(file, await contentOf(reader, file.name)), encryption: file.encryption });
    }
  });
  return files;
}

/** Changes a stored file. Never in a way that needs the key. */
function mutateStored(files: Map<string, Stored>, random: Random): void {
  const [name, to] = [random.pick([...files.keys()]), random.pick([...files.keys()])];
  const { chunks, encryption } = files.get(name)!;
  const other = files.get(to)!;
  const at = random.below(chunks.length);
  const what = random.below(9);
  if (what === 0) chunks.splice(at, 1);
  else if (what === 1 && chunks.length > 0) chunks.splice(random.below(chunks.length), 0, chunks[at]!);
  else if (what === 2 && chunks.length > 0) [chunks[0], chunks[at]] = [chunks[at]!, chunks[0]!];
  else if (what === 3) chunks.splice(at, random.below(2), ...other.chunks.slice(0, 1));
  else if (what === 4) files.set(name, structuredClone(other));
  else if (what === 5) files.get(name)!.encryption = other.encryption;
  else if (what === 6) files.get(name)!.encryption = undefined;
  else if (what === 7 && encryption !== undefined) {
    const keyId = random.chance(0.5) ? random.pick(["new", "old", "none"]) : encryption.keyId;
    const mac = random.chance(0.5) ? mutate(encryption.mac, random).slice(0, 32) : encryption.mac;
    files.get(name)!.encryption = { keyId, mac };
  } else if (chunks.length > 0) chunks[at] = mutate(chunks[at]!, random, other.chunks).slice(0, 10_000);
}

export const encrypted: Target = {
  name: "encrypted",
  share: 12,
  codes: ["CORRUPT", "FORBIDDEN", "MALFORMED"],
  async prepare() {
    const samples = [await sealed(0), await sealed(1)];
    return async (random) => {
      const files = structuredClone(random.pick(samples));
      for (let times = random.pick([1, 1, 2]); times > 0; times--) mutateStored(files, random);
      const inner = new MemoryStorage();
      const storage = new EncryptedStorage(inner, KEYS);
      const isTakenIn = random.chance(0.3); // by the storage that has the keys, and not behind its back
      const writer = await (isTakenIn ? storage : inner).create({ raw: true });
      let failure: { readonly error: unknown } | undefined;
      try {
        for (const [name, { chunks, encryption }] of files) {
          const options = { chunkSize: "pieces", encryption: () => Promise.resolve(encryption) } as const;
          await chunksOf(chunks).pipeTo(writer.file(name, options));
        }
        await writer.commit(META);
      } finally {
        await writer.abort();
      }
      const reader = await must("it was stored", () => storage.open());
      for (const [name, chunks] of Object.entries(FILES)) {
        const right = concat(chunks);
        const start = random.chance(0.6) ? 0 : random.below(right.length + 1);
        const end = random.chance(0.6) ? Infinity : random.below(right.length + 2);
        try {
          if (reader.manifest.file(name).chunks!.count > 0 || isTakenIn) {
            law(await reader.size(name) === right.length, `${name} has the size that it had`);
          }
          const read = concat(await Array.fromAsync(reader.file(name, { start, end })));
          law(
            equal(read, right.subarray(start, Math.max(start, Math.min(end, right.length)))),
            `${name} reads as written`,
          );
        } catch (error) {
          failure ??= { error };
          if (error instanceof Error && error.message.startsWith("Law")) throw error;
        }
      }
      law(!isTakenIn || failure === undefined, `what was taken in is right: ${failure?.error}`);
      await reader.close();
      await storage.close();
      if (failure !== undefined) throw failure.error;
    };
  },
};
