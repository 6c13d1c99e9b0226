// Encrypted snapshots that somebody without the key has changed, or mixed, and made look right.

import { EncryptedStorage, MemoryStorage, type SnapshotMeta, type SnapshotReader } from "../../../mod.ts";
import type { FileEncryption } from "../../../src/extend.ts";
import { concat, equal, toHex } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { noise } from "../../support/harness.ts";
import { mutate, someNumber } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";
import { contentOf } from "./content.ts";
import { chunksOf, commitFiles, cut, FILES, META, reading } from "./samples.ts";

const KEYS = [{ id: "new", secret: noise(32, 7) }, { id: "old", secret: noise(32, 8) }] as const;

/** A file as it is stored. */
interface Stored {
  chunks: Uint8Array[];
  encryption: FileEncryption | undefined;
}

/** A snapshot as it is stored. */
interface Sealed {
  meta: SnapshotMeta;
  readonly digest: string;
  readonly files: Map<string, Stored>;
}

/** What the samples are when they are encrypted. */
async function sealed(key: number, meta: SnapshotMeta): Promise<Sealed> {
  const inner = new MemoryStorage();
  await commitFiles(new EncryptedStorage(inner, [KEYS[key]!]), meta, FILES);
  const files = new Map<string, Stored>();
  return await reading(inner, async (reader) => {
    for (const file of reader.manifest.files) {
      files.set(file.name, { chunks: cut(file, await contentOf(reader, file.name)), encryption: file.encryption });
    }
    return { meta: reader.meta, digest: toHex(reader.manifest.digest), files };
  });
}

/** Changes what is said of a snapshot. */
function mutateMeta(meta: SnapshotMeta, other: SnapshotMeta, random: Random): SnapshotMeta {
  const { seal, ...bare } = meta;
  const number = (most: bigint) => BigInt.asUintN(63, someNumber(random)) % most;
  switch (random.below(8)) {
    case 0:
      return { ...meta, lastIncludedIndex: 1n + number(2n ** 62n) };
    case 1:
      return { ...meta, lastIncludedTerm: number(2n ** 62n) };
    case 2:
      return { ...meta, peers: random.pick([[], other.peers, [...meta.peers, "10.6.6.6"]]) };
    case 3:
      return { ...meta, ...(other.seal !== undefined && { seal: other.seal }) };
    case 4:
      return bare;
    case 5:
      return { ...meta, group: random.pick(["users", "orders"]) };
    case 6:
      return {
        ...bare,
        seal: { keyId: seal!.keyId, mac: mutate(concat([seal!.mac, noise(32, 1)]), random).slice(0, 32) },
      };
    default:
      return { ...other, ...(seal !== undefined && { seal }) };
  }
}

/** Changes a stored file. Never in a way that needs the key. */
function mutateStored(files: Map<string, Stored>, random: Random): void {
  if (files.size === 0) return;
  const [name, to] = [random.pick([...files.keys()]), random.pick([...files.keys()])];
  const { chunks, encryption } = files.get(name)!;
  const other = files.get(to)!;
  const at = random.below(chunks.length);
  const what = random.below(11);
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
  } else if (what === 8) files.delete(name);
  else if (what === 9) {
    files.delete(name);
    files.set(`${name}-renamed`, { chunks, encryption });
  } else if (chunks.length > 0) chunks[at] = mutate(chunks[at]!, random, other.chunks).slice(0, 10_000);
}

/** Holds what is read against what was written. */
async function checkRead(reader: SnapshotReader, random: Random): Promise<void> {
  for (const [name, chunks] of Object.entries(FILES)) {
    const right = concat(chunks);
    const start = random.chance(0.6) ? 0 : random.below(right.length + 1);
    const end = random.chance(0.6) ? Infinity : random.below(right.length + 2);
    law(await reader.size(name) === right.length, `${name} has the size that it had`);
    const read = concat(await Array.fromAsync(reader.file(name, { start, end })));
    law(equal(read, right.subarray(start, Math.max(start, Math.min(end, right.length)))), `${name} reads as written`);
  }
}

export const encrypted: Target = {
  name: "encrypted",
  share: 12,
  codes: ["CORRUPT", "FORBIDDEN", "MALFORMED"],
  async prepare() {
    const later = { ...META, lastIncludedIndex: 6n, peers: ["x"], group: "users" };
    const samples = [await sealed(0, META), await sealed(1, META), await sealed(0, later)];
    return async (random) => {
      const { files, ...sample } = structuredClone(random.pick(samples));
      let { meta } = sample;
      for (let times = random.pick([0, 1, 1, 2]); times > 0; times--) {
        if (random.chance(0.4) && meta.seal !== undefined) meta = mutateMeta(meta, random.pick(samples).meta, random);
        else mutateStored(files, random);
      }
      const inner = new MemoryStorage();
      const storage = new EncryptedStorage(inner, KEYS);
      const isTakenIn = random.chance(0.3); // by the storage that has the keys, and not behind its back
      const writer = await (isTakenIn ? storage : inner).create({ raw: true });
      try {
        for (const [name, { chunks, encryption }] of files) {
          const options = { chunkSize: "pieces", encryption: () => Promise.resolve(encryption) } as const;
          await chunksOf(chunks).pipeTo(writer.file(name, options));
        }
        await writer.commit(meta);
      } finally {
        await writer.abort();
      }
      const digest = await reading(inner, ({ manifest }) => toHex(manifest.digest));
      const original = samples.find((sample) =>
        sample.digest === digest && equal(sample.meta.seal!.mac, meta.seal?.mac ?? noise(32, 1))
      );
      law(!isTakenIn || original !== undefined, "what was taken in is one of those that were sealed");
      try {
        const reader = await storage.open();
        law(original !== undefined, "what is opened is one of those that were sealed");
        await must("it was opened", () => checkRead(reader, random));
        await reader.close();
      } catch (error) {
        law(original === undefined, `one that was sealed is opened: ${error}`);
        law((await inner.list()).length === 1, "what is refused is left where it is");
        throw error;
      } finally {
        await storage.close();
      }
    };
  },
};
