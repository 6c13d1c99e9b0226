// Files that a snapshot only refers to: braft's FILE_SOURCE_REFERENCE, and layouts that are scattered over directories.

import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { archive, EncryptedStorage, MemoryStorage, pull, snapshotHandler, type SnapshotStorage } from "../../mod.ts";
import { pullBraft, serveBraft } from "../../src/braft.ts";
import { addFiles, DirectoryStorage, extract, type ReferencedFile, type ReferenceResolver } from "../../src/fs.ts";
import { defaultDisk, type DiskFile } from "../../src/fs/mod.ts";
import { unarchive } from "../../src/snapshot/mod.ts";
import { assert, bytesOf, closing, noise, rejects, test } from "../support/harness.ts";
import { braftFiles } from "../support/braft_manifests.ts";
import { namesIn, put } from "../support/directory_storage.ts";
import { overriding } from "../support/overriding.ts";
import { inTemp } from "../support/temp.ts";

const NAME = "external.sst";
const LOCAL = noise(4, 1);
const EXTERNAL = noise(700_001, 2);

/** braft's snapshot 500: one file in it, and one that is elsewhere. */
async function braftRoot(root: string): Promise<string> {
  for (const [path, bytes] of Object.entries(braftFiles("reference", LOCAL))) {
    await put(`${root}/braft/${path}`.replace(/\/[^/]*$/, ""), path.split("/").at(-1)!, bytes);
  }
  await put(`${root}/elsewhere`, "000123.sst", EXTERNAL);
  return `${root}/braft`;
}

/** Bytes that are nowhere on a disk, read in small pieces; counts how many are open. */
class Opened {
  count = 0;
  times = 0;

  file(bytes: Uint8Array): ReferencedFile {
    this.count++;
    this.times++;
    let isClosed = false;
    return {
      size: bytes.length,
      read(buffer, position) {
        const part = bytes.subarray(position, position + Math.min(buffer.length, 10_000));
        buffer.set(part);
        return Promise.resolve(part.length);
      },
      close: () => {
        assert.isFalse(isClosed, "closed once");
        isClosed = true;
        this.count--;
        return Promise.resolve();
      },
    };
  }
}

async function holdsBoth(storage: SnapshotStorage): Promise<void> {
  const reader = await storage.open();
  assert.equal(reader.verified, "chunks");
  assert.deepEqual(await bytesOf(reader.file(NAME)), EXTERNAL);
  assert.deepEqual(await bytesOf(reader.file("local")), LOCAL);
  const { checksum, source } = reader.info(NAME);
  assert.deepEqual([checksum, source], ["crc32:deadbeef", undefined], "a file as the others are");
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
}

for (const kind of ["path", "bytes"]) {
  test(`references: braft's are verified, archived, extracted, served and pulled, from a ${kind}`, () =>
    inTemp(async (root) => {
      const opened = new Opened();
      const asked: unknown[] = [];
      const resolve: ReferenceResolver = ({ name, checksum }, { lastIncludedIndex }) => {
        asked.push([name, checksum, lastIncludedIndex]);
        return kind === "path" ? `${root}/elsewhere/000123.sst` : Promise.resolve(opened.file(EXTERNAL));
      };
      const storage = await DirectoryStorage.open(await braftRoot(root), { resolve });
      assert.deepEqual(asked[0], [NAME, "crc32:deadbeef", 500n]);
      assert.equal((await storage.list())[0]!.size, EXTERNAL.length + LOCAL.length);
      const reader = await storage.open();
      assert.equal(await reader.size(NAME), EXTERNAL.length);
      assert.deepEqual(await bytesOf(reader.file(NAME, { start: 5, end: 300_000 })), EXTERNAL.slice(5, 300_000));
      const { ok, bytes } = await reader.verify().result;
      assert.deepEqual([ok, bytes], [true, EXTERNAL.length + LOCAL.length]);

      const copies = closing(new MemoryStorage());
      await unarchive(archive(reader), copies).result;
      await holdsBoth(copies);

      await extract(reader, `${root}/out`);
      assert.deepEqual(new Uint8Array(await readFile(`${root}/out/${NAME}`)), EXTERNAL);

      const handler = snapshotHandler(storage);
      const pulled = await DirectoryStorage.open(`${root}/pulled`);
      await pull(pulled, [{ url: "http://there", fetch: (request) => handler(new Request(request)) }]).result;
      await holdsBoth(pulled);
      await handler.close();
      await pulled.close();

      const server = await serveBraft({ port: 0 });
      const follower = closing(new MemoryStorage());
      await pullBraft(server.offer(reader), follower).result;
      await holdsBoth(follower);
      await server.close();
      await reader.close();
      await storage.close();
      assert.equal(opened.count, 0, "all that was opened is closed");
      assert.isTrue(kind === "path" || opened.times > 5);
    }));
}

test("references: without a resolver they are named", () =>
  inTemp(async (root) => {
    const storage = await DirectoryStorage.open(await braftRoot(root));
    const reader = await storage.open();
    const reading = [() => bytesOf(reader.file(NAME)), () => reader.size(NAME), () => bytesOf(archive(reader))];
    for (const read of reading) {
      const error = await rejects(read(), "NOT_FOUND");
      assert.include(error.message, `"${NAME}" of snapshot 500 is a reference`);
      assert.equal(error.file, NAME);
    }
    const { ok, bad } = await reader.verify().result;
    assert.isFalse(ok);
    assert.deepEqual(bad.map(({ file }) => file), [NAME]);
    assert.deepEqual(await bytesOf(reader.file("local")), LOCAL, "others are read");
    await reader.close();
    assert.equal(await storage.quarantine(500n, "a test"), false);
    assert.lengthOf(await storage.list(), 1);
    await storage.close();
  }));

const FAILURES: Readonly<Record<string, { give(root: string): unknown; says: string }>> = {
  "throws": {
    give: () => {
      throw new Error("the volume is away");
    },
    says: "the volume is away",
  },
  "rejects": { give: () => Promise.reject(new Error("the volume is away")), says: "the volume is away" },
  "throws what is no error": {
    give: () => {
      throw undefined;
    },
    says: "undefined",
  },
  "gives nothing": { give: () => undefined, says: "does not know" },
  "gives a path where nothing is": { give: (root) => `${root}/nowhere`, says: "nowhere is not there" },
  "gives a directory": { give: (root) => `${root}/elsewhere`, says: "is not a regular file" },
  "gives a number": { give: () => 7, says: "ReferencedFile" },
  "gives no size": {
    give: () => ({ read: () => Promise.resolve(0), close: () => Promise.resolve() }),
    says: "size",
  },
};

for (const [how, { give, says }] of Object.entries(FAILURES)) {
  test(`references: a resolver that ${how} is told by the name of the file, and moves nothing`, () =>
    inTemp(async (root) => {
      let isBad = false;
      const path = `${root}/elsewhere/000123.sst`;
      const resolve = (() => isBad ? give(root) : path) as ReferenceResolver;
      const storage = await DirectoryStorage.open(await braftRoot(root), { resolve });
      isBad = true;
      const reader = await storage.open();
      const error = await rejects(bytesOf(reader.file(NAME)), "UNAVAILABLE");
      assert.deepEqual([error.file, error.index], [NAME, 500n]);
      assert.include(error.message, NAME);
      assert.include(error.message, says);
      const { ok, bad } = await reader.verify().result;
      assert.deepEqual([ok, bad.map(({ file }) => file)], [false, [NAME]]);
      await reader.close();
      assert.equal(await storage.quarantine(500n, "a test"), false);
      await storage.close();

      // At an opening: it is told, stays in place, and is there as soon as its file is.
      const warnings: string[] = [];
      const again = await DirectoryStorage.open(`${root}/braft`, {
        resolve,
        onWarning: ({ message }) => warnings.push(message),
      });
      assert.lengthOf(warnings.filter((message) => message.includes(NAME)), 1);
      await rejects(again.open(), "UNAVAILABLE");
      assert.deepEqual((await again.unreadable()).map(({ index }) => index), [500n]);
      assert.deepEqual(again.damaged, []);
      isBad = false;
      const good = await again.open();
      assert.deepEqual(await bytesOf(good.file(NAME)), EXTERNAL);
      await good.close();
      await again.close();
    }));
}

test("references: a file of a resolver's that fails, or counts wrongly, is told by its name", () =>
  inTemp(async (root) => {
    const root500 = await braftRoot(root);
    const { size } = new Opened().file(EXTERNAL);
    const close = () => Promise.resolve();
    const reads: Record<string, ReferencedFile["read"]> = {
      "not answer": () => Promise.reject(new Error("not answer")),
      "0 to": () => Promise.resolve(1e9),
      "an integer": () => Promise.resolve(NaN),
      "became shorter": () => Promise.resolve(0),
    };
    for (const [says, read] of Object.entries(reads)) {
      const storage = await DirectoryStorage.open(root500, { resolve: () => ({ size, read, close }) });
      const reader = await storage.open();
      const error = await rejects(bytesOf(reader.file(NAME)), "UNAVAILABLE");
      assert.include(error.message, says);
      assert.equal(error.file, NAME);
      await reader.close();
      await storage.close();
    }
  }));

test("references: a resolver that never answers holds neither a closing reader nor a cancelled verification", () =>
  inTemp(async (root) => {
    const opened = new Opened();
    const late: ((file: ReferencedFile) => void)[] = [];
    let isStuck = false;
    const storage = await DirectoryStorage.open(await braftRoot(root), {
      resolve: () => isStuck ? new Promise((answer) => late.push(answer)) : `${root}/elsewhere/000123.sst`,
    });
    isStuck = true;
    const reader = await storage.open();
    const cancel = new AbortController();
    const verifying = reader.verify({ signal: cancel.signal }).result;
    const reading = rejects(bytesOf(reader.file(NAME)), "CLOSED");
    while (late.length < 2) await new Promise((turn) => setTimeout(turn));
    cancel.abort();
    await rejects(verifying, "CANCELLED");
    await reader.close();
    await reading;
    for (const answer of late) answer(opened.file(EXTERNAL));
    while (opened.count > 0) await new Promise((turn) => setTimeout(turn)); // what comes too late is closed
    await storage.close();
  }));

/** Two directories with a file each, the resolver that finds them, and the names in the snapshot. */
async function scattered(root: string): Promise<ReferenceResolver> {
  await put(`${root}/fast/new`, "a.sst", EXTERNAL);
  await put(`${root}/slow`, "b.sst", noise(300_000, 5));
  return ({ name }) => name.startsWith("fast/") ? `${root}/${name}` : `${root}/slow/${name}`;
}

async function saveScattered(storage: DirectoryStorage, root: string, index: bigint): Promise<void> {
  const writer = await storage.create();
  try {
    await writer.add(`${root}/fast`, undefined, { reference: true });
    await writer.add(`${root}/slow`, "", { reference: true });
    await new Blob([LOCAL]).stream().pipeTo(writer.file("own"));
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  } finally {
    await writer.abort();
  }
}

test("references: a layout that is scattered over directories is a snapshot that has digests of all", () =>
  inTemp(async (root) => {
    const synced: string[] = [];
    const disk = overriding(defaultDisk(), {
      open: async (path, mode) => {
        const file = await defaultDisk().open(path, mode);
        const sync = () => {
          synced.push(path);
          return file.sync();
        };
        return overriding<DiskFile>(file, { sync });
      },
      syncDirectory: (path) => {
        synced.push(path);
        return defaultDisk().syncDirectory(path);
      },
    });
    const resolve = await scattered(root);
    const storage = await DirectoryStorage.open(`${root}/storage`, { resolve, disk, retain: 1 });
    await saveScattered(storage, root, 1n);
    for (const path of ["fast/new/a.sst", "fast/new", "slow/b.sst", "slow"]) assert.include(synced, `${root}/${path}`);
    assert.deepEqual(await namesIn(`${root}/storage/snapshot_${"1".padStart(20, "0")}`), [
      "__raft_snapshot_meta",
      "own",
    ]);
    await storage.close();

    const again = await DirectoryStorage.open(`${root}/storage`, { resolve, retain: 1 });
    const reader = await again.open();
    assert.deepEqual(reader.manifest.files.map(({ name, source, chunks }) => [name, source, chunks?.size]), [
      ["b.sst", "reference", 300_000],
      ["fast/new/a.sst", "reference", EXTERNAL.length],
      ["own", undefined, 4],
    ]);
    assert.deepEqual(await bytesOf(reader.file("fast/new/a.sst")), EXTERNAL);
    assert.isTrue((await reader.verify().result).ok);
    const handler = snapshotHandler(again);
    const copy = await DirectoryStorage.open(`${root}/copy`);
    const source = { url: "http://there", fetch: (request: RequestInfo | URL) => handler(new Request(request)) };
    const { snapshot } = await pull(copy, [source]).result;
    assert.deepEqual(snapshot.digest, reader.manifest.digest, "the same snapshot");
    await reader.close();
    await handler.close();
    await saveScattered(again, root, 2n); // the first one goes, and what it referred to stays
    assert.lengthOf(await again.list(), 1);
    const aborted = await again.create();
    await aborted.add(`${root}/slow/b.sst`, "c", { reference: true });
    await aborted.remove("c");
    await aborted.abort();
    assert.deepEqual(await namesIn(`${root}/slow`), ["b.sst"]);
    await again.close();

    const taken = await copy.open();
    assert.deepEqual(await bytesOf(taken.file("b.sst")), noise(300_000, 5));
    await taken.close();
    await copy.close();
    // The copy has the bytes: it misses them as it would any others.
    await rm(`${root}/copy/snapshot_${"1".padStart(20, "0")}/b.sst`);
    const lacking = await DirectoryStorage.open(`${root}/copy`);
    const error = await rejects(lacking.open(), "UNAVAILABLE");
    assert.equal(error.file, "b.sst");
    await lacking.close();
  }));

test("references: other bytes are refused by name, and prove nothing about the snapshot", () =>
  inTemp(async (root) => {
    const resolve = await scattered(root);
    const warnings: string[] = [];
    const options = { resolve, onWarning: ({ code }: { readonly code: string }) => warnings.push(code) };
    const storage = await DirectoryStorage.open(`${root}/storage`, options);
    await saveScattered(storage, root, 1n);
    await saveScattered(storage, root, 2n);
    const file = await open(`${root}/slow/b.sst`, "r+");
    await file.write(Uint8Array.of(1, 2, 3), 0, 3, 290_000); // in its second chunk
    await file.close();
    const reader = await storage.open();
    const error = await rejects(bytesOf(reader.file("b.sst")), "UNAVAILABLE");
    assert.deepEqual([error.file, error.chunk], ["b.sst", 1]);
    assert.include(error.message, "other bytes");
    assert.deepEqual(await bytesOf(reader.file("b.sst", { end: 1000 })), noise(300_000, 5).slice(0, 1000));
    const { ok, bad } = await reader.verify().result;
    assert.deepEqual([ok, bad.map(({ file, chunk }) => [file, chunk])], [false, [["b.sst", 1]]]);
    await reader.close();
    assert.equal(await storage.quarantine(2n, "a test"), false);
    assert.deepEqual(await storage.quarantined(), []);
    assert.notInclude(warnings, "CORRUPT");

    // Of another size: told when it is looked at, and it does not become a snapshot.
    const moving = await storage.create();
    await moving.add(`${root}/slow`, "", { reference: true });
    await writeFile(`${root}/slow/b.sst`, "short");
    const refused = await rejects(
      moving.commit({ lastIncludedIndex: 3n, lastIncludedTerm: 1n, peers: [] }),
      "UNAVAILABLE",
    );
    assert.include(refused.message, "it has 5 bytes, not 300000");
    await storage.close();
    assert.deepEqual(await namesIn(`${root}/storage`), [
      ".lock",
      ...["1", "2"].map((index) => `snapshot_${index.padStart(20, "0")}`),
    ]);
    const again = await DirectoryStorage.open(`${root}/storage`, options);
    assert.deepEqual((await again.unreadable()).map(({ index }) => index), [2n, 1n]);
    await writeFile(`${root}/slow/b.sst`, noise(300_000, 5));
    assert.lengthOf(await again.list(), 2);
    await again.close();
  }));

test("references: bytes that are right the second time are handed on", () =>
  inTemp(async (root) => {
    const resolve = await scattered(root);
    const [opened, bytes] = [new Opened(), noise(300_000, 5)];
    let times = 0;
    const storage = await DirectoryStorage.open(`${root}/storage`, {
      resolve: (file, snapshot) => {
        if (file.name !== "b.sst") return resolve(file, snapshot);
        return opened.file(times++ % 2 === 0 ? new Uint8Array(300_000) : bytes);
      },
    });
    await saveScattered(storage, root, 1n);
    times = 0;
    const reader = await storage.open();
    assert.deepEqual(await bytesOf(reader.file("b.sst")), bytes);
    await reader.close();
    await storage.close();
    assert.equal(opened.count, 0);
  }));

test("references: where nobody could find them again none is added", () =>
  inTemp(async (root) => {
    await scattered(root);
    const directory = closing(await DirectoryStorage.open(`${root}/storage`));
    const key = { id: "k", secret: noise(32, 1) };
    for (const storage of [directory, new MemoryStorage(), new EncryptedStorage(new MemoryStorage(), [key])]) {
      const writer = await storage.create();
      await rejects(addFiles(writer, `${root}/slow`, "", { reference: true }), "UNSUPPORTED");
      assert.deepEqual(writer.files(), []);
      await writer.abort();
    }
    assert.deepEqual(await namesIn(`${root}/slow`), ["b.sst"]);
  }));

test("references: what changes, is a link or is no file is not added", () =>
  inTemp(async (root) => {
    const resolve = await scattered(root);
    const storage = closing(await DirectoryStorage.open(`${root}/storage`, { resolve }));
    const writer = await storage.create();
    await mkdir(`${root}/empty`);
    assert.deepEqual(await writer.add(`${root}/empty`, "x", { reference: true }), []);
    await rejects(writer.add(`${root}/nothing`, "x", { reference: true }), "NOT_FOUND");
    await writer.add(`${root}/slow/b.sst`, "x", { reference: true });
    await rejects(writer.add(`${root}/slow/b.sst`, "x", { reference: true }), "MALFORMED");
    assert.deepEqual(writer.files().map(({ name }) => name), ["x"]);
    await writer.abort();
  }));
