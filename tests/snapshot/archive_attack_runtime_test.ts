import fc from "fast-check";
import { archive, MemoryStorage, SnapshotManifest, streamedArchive, unarchive } from "../../mod.ts";
import { Type } from "../../src/snapshot/archive/format.ts";
import { archiveMagic, type ArchiveRecord, decodeRecords, encodeRecord } from "../../src/snapshot/archive/records.ts";
import { concat, toHex, u32 } from "../../src/stream/mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, pieces, rejects, test, turns } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { save, storageWith } from "../support/samples.ts";

const META = { lastIncludedIndex: 5n, lastIncludedTerm: 1n, peers: ["p1", "p2"] };

/** The records of an archive of each kind. */
async function made(): Promise<Record<"described" | "streamed", ArchiveRecord[]>> {
  const storage = await storageWith(5n, { a: noise(200_000, 1), b: noise(70_000, 2), c: new Uint8Array(0) });
  const reader = await storage.open();
  const streamed = streamedArchive(META, async (writer) => {
    await Promise.all(["a", "b", "c"].map((name, i) => pieces(noise(i * 90_000, i + 1)).pipeTo(writer.file(name))));
  });
  const all = { described: await recordsOf(archive(reader)), streamed: await recordsOf(streamed) };
  await storage.close();
  return all;
}

async function recordsOf(stream: ReadableStream<Uint8Array>): Promise<ArchiveRecord[]> {
  const records: ArchiveRecord[] = [];
  for await (const record of decodeRecords(stream, () => 2 ** 31)) records.push(record);
  return records;
}

function joined(records: readonly ArchiveRecord[]): Uint8Array {
  return concat([archiveMagic(), ...records.flatMap(({ type, payload }) => [...encodeRecord(type, payload)])]);
}

/** Takes an archive in: its digest, or why not. In the latter case the storage is as it was, and can be used. */
async function taken(records: readonly ArchiveRecord[]): Promise<string> {
  const storage = new MemoryStorage();
  try {
    return toHex((await unarchive(pieces(joined(records)), storage).result).digest);
  } catch (error) {
    assert.deepEqual(await storage.list(), []);
    await save(storage, 1n, { a: noise(10, 1) });
    return (error as { code: string }).code;
  } finally {
    await storage.close();
  }
}

const MUTATION = fc.record({
  what: fc.constantFrom("drop", "twice", "swap", "splice", "type", "cut", "grow", "flip"),
  at: fc.nat(),
  to: fc.nat(),
});

test("archive: records that are dropped, doubled, moved, mixed and changed give an error, or the same snapshot", async () => {
  const all = await made();
  for (const [kind, other] of [["described", "streamed"], ["streamed", "described"]] as const) {
    const digest = await taken(all[kind]);
    assert.lengthOf(digest, 64);
    await fc.assert(
      fc.asyncProperty(fc.array(MUTATION, { minLength: 1, maxLength: 3 }), async (mutations) => {
        const records = [...all[kind]];
        for (const { what, at, to } of mutations) {
          if (records.length === 0) break;
          const i = at % records.length;
          const j = to % records.length;
          const { type, payload } = records[i]!;
          if (what === "drop") records.splice(i, 1);
          else if (what === "twice") records.splice(j, 0, records[i]!);
          else if (what === "swap") [records[i], records[j]] = [records[j]!, records[i]!];
          else if (what === "splice") records.splice(i, 0, all[other][to % all[other].length]!);
          else if (what === "type") records[i] = { type: to % 9, payload };
          else if (what === "cut") records[i] = { type, payload: payload.slice(0, to % (payload.length + 1)) };
          else if (what === "grow") records[i] = { type, payload: concat([payload, new Uint8Array(to % 5)]) };
          else records[i] = { type, payload: payload.map((byte, k) => k === to % payload.length ? byte ^ 4 : byte) };
        }
        assert.include(["CORRUPT", "MALFORMED", "UNSUPPORTED", digest], await taken(records));
      }),
      { numRuns: runs(150) },
    );
  }
});

test("archive: the END of a described one has nothing that is not looked at", async () => {
  const { described } = await made();
  const end = described.at(-1)!;
  const grown = { type: Type.END, payload: concat([end.payload, Uint8Array.of(1)]) };
  assert.strictEqual(await taken([...described.slice(0, -1), grown]), "MALFORMED");
});

test("archive: names that lie deep, and more of them, do not fill the memory", async () => {
  async function* deep() {
    yield archiveMagic();
    const meta = { ...META, createdAt: 1 };
    yield* encodeRecord(Type.HEADER, (await SnapshotManifest.of(meta, [])).bytes);
    for (let i = 0; i < 10_000; i++) {
      const name = `${i}/${"a/".repeat(500)}b`;
      yield* encodeRecord(Type.FILE, u32(0), (await SnapshotManifest.of(META, [{ name }])).bytes);
      yield* encodeRecord(Type.FILE_END, u32(i), new Uint8Array(8));
    }
  }
  const storage = new MemoryStorage();
  const error = await rejects(unarchive(ReadableStream.from(deep()), storage).result, "MALFORMED");
  assert.include(error.message, "directories");
  assert.deepEqual(await storage.list(), []);
  await storage.close();
});

test("archive, streamed: a chunk size that cannot be fails at once", async () => {
  for (const chunkSize of [0, -1, 1.5, NaN, Infinity, 1000, 2 ** 30]) {
    const stream = streamedArchive(META, (writer) => pieces(noise(10, 1)).pipeTo(writer.file("a", { chunkSize })));
    await rejects(bytesOf(stream), "MALFORMED");
  }
});

test("archive, streamed: cancelling does not wait for ever for what writes it, and leaves no listener", () =>
  inFakeTime(async () => {
    for (const reads of [0, 1, 3]) {
      const { signal } = new AbortController();
      const listeners = new Set<unknown>();
      const { addEventListener, removeEventListener } = signal;
      signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
        listeners.add(args[1]);
        addEventListener.apply(signal, args);
      };
      signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
        listeners.delete(args[1]);
        removeEventListener.apply(signal, args);
      };
      const stream = streamedArchive(META, () => new Promise(() => {}), { signal }).getReader();
      for (let i = 0; i < reads && i < 2; i++) await stream.read();
      if (reads > 2) void stream.read().catch(() => {});
      await turns(2);
      await stream.cancel("enough");
      assert.strictEqual(listeners.size, 0);
    }
  }));

test("archive: what cannot be cleaned up does not hide what was wrong", async () => {
  const { streamed } = await made();
  const storage = new MemoryStorage();
  const create = storage.create.bind(storage);
  storage.create = async (options) => {
    const writer = await create(options);
    const abort = writer.abort.bind(writer);
    writer.abort = async (reason) => {
      await abort(reason);
      throw new Error("the disk is gone");
    };
    return writer;
  };
  await rejects(unarchive(pieces(joined(streamed.slice(0, -1))), storage).result, "CORRUPT");
  await storage.close();
});
