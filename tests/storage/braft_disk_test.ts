// Storages that the real braft wrote, and what it leaves behind.

import { createHash } from "node:crypto";
import { cp, readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import process from "node:process";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { listing, namesIn } from "../support/directory_storage.ts";

const FIXTURES = `${process.cwd()}/tests/fixtures/braft`;

interface Newest {
  readonly lastIncludedIndex: string;
  readonly lastIncludedTerm: string;
  readonly peers: string[];
  readonly oldPeers: string[];
  readonly metaFile: { readonly hex?: string };
  readonly files: readonly {
    readonly name: string;
    readonly size: number;
    readonly sha256: string;
    readonly missing?: true;
    readonly meta: { readonly source?: string; readonly userMetaHex?: string; readonly checksum?: string };
  }[];
}

/** Does something with a copy of a fixture: opening a storage may change it. */
function withCopy(name: string, work: (root: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    await cp(`${FIXTURES}/${name}/storage`, `${directory}/storage`, { recursive: true });
    await work(`${directory}/storage`);
  });
}

async function expectedOf(name: string): Promise<{ newest: Newest; braft: Newest }> {
  return JSON.parse(await readFile(`${FIXTURES}/${name}/EXPECTED.json`, "utf8"));
}

async function checkNewest(storage: DirectoryStorage, expected: Newest): Promise<void> {
  const reader = await storage.open();
  assert.equal(reader.verified, "none");
  assert.equal(reader.meta.lastIncludedIndex, BigInt(expected.lastIncludedIndex));
  assert.equal(reader.meta.lastIncludedTerm, BigInt(expected.lastIncludedTerm));
  assert.deepEqual(reader.meta.peers, expected.peers);
  assert.deepEqual(reader.meta.oldPeers ?? [], expected.oldPeers);
  assert.deepEqual(reader.manifest.files.map(({ name }) => name), expected.files.map(({ name }) => name));
  if (expected.metaFile.hex !== undefined) {
    assert.equal(Buffer.from(reader.manifest.framed).toString("hex"), expected.metaFile.hex);
  }
  for (const { name, size, sha256, missing, meta } of expected.files) {
    const info = reader.info(name);
    assert.equal(info.source, meta.source);
    assert.equal(info.checksum, meta.checksum);
    assert.equal(info.userMeta && Buffer.from(info.userMeta).toString("hex"), meta.userMetaHex);
    if (missing) {
      await rejects(bytesOf(reader.file(name)), "NOT_FOUND");
      await rejects(reader.size(name), "NOT_FOUND");
      continue;
    }
    const content = await bytesOf(reader.file(name));
    assert.equal(content.length, size);
    assert.equal(await reader.size(name), size);
    assert.equal(createHash("sha256").update(content).digest("hex"), sha256);
    assert.deepEqual(await bytesOf(reader.file(name, { start: 1, end: 3 })), content.slice(1, 3));
  }
  const result = await reader.verify().result;
  const missing = expected.files.filter(({ missing }) => missing).map(({ name }) => name);
  assert.deepEqual(result.bad.map(({ file }) => file), missing);
  assert.equal(result.verified, "none");
  assert.equal(result.bytes, expected.files.reduce((sum, { size }) => sum + (size ?? 0), 0));
  await reader.close();
}

for (const name of ["bigint", "empty", "joint", "leftovers", "names", "nested", "reference"]) {
  test(`braft's storage: ${name}`, () =>
    withCopy(name, async (root) => {
      const storage = await DirectoryStorage.open(root);
      assert.deepEqual(storage.damaged, []);
      await checkNewest(storage, (await expectedOf(name)).newest);
      await storage.close();
    }));

  test(`braft's storage, only looked at: ${name}`, () =>
    withCopy(name, async (root) => {
      const before = await listing(root);
      const storage = await DirectoryStorage.open(root, { readOnly: true });
      await checkNewest(storage, (await expectedOf(name)).newest);
      await rejects(storage.create(), "FORBIDDEN");
      await storage.quarantine((await storage.list())[0]!.meta.lastIncludedIndex, "a test");
      await storage.close();
      assert.deepEqual(await listing(root), before);
    }));
}

test("braft's leftovers: the work directory goes, what is good or not ours stays", () =>
  withCopy("leftovers", async (root) => {
    const storage = await DirectoryStorage.open(root);
    assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [200n, 100n]);
    await storage.close();
    assert.deepEqual(
      await namesIn(root),
      [".lock", "notes.txt", "snapshot_00000000000000000100", "snapshot_00000000000000000200"],
    );
  }));

// braft opens some of these; the reasons why we do not: a name that leads out, an index that is another's.
const DAMAGED = {
  "all-zero": "MALFORMED",
  "body-garbage": "MALFORMED",
  "dir-index-mismatch": "CORRUPT",
  "empty-file": "MALFORMED",
  "header-2-bytes": "MALFORMED",
  "little-endian": "MALFORMED",
  "name-absolute": "MALFORMED",
  "negative-length": "MALFORMED",
};

for (const [name, code] of Object.entries(DAMAGED)) {
  test(`proven bad, quarantined: ${name}`, () =>
    withCopy(`rejects/${name}`, async (root) => {
      const looked = await DirectoryStorage.open(root, { readOnly: true });
      assert.deepEqual(looked.damaged.map(({ error }) => error.code as string), [code]);
      await rejects(looked.open(), "NOT_FOUND");
      await looked.close();
      assert.deepEqual(await namesIn(root), ["snapshot_00000000000000001000"]);
      const before = await listing(`${root}/snapshot_00000000000000001000`);

      const warnings: unknown[] = [];
      const storage = await DirectoryStorage.open(root, { onWarning: (warning) => warnings.push(warning) });
      assert.deepEqual(storage.damaged.map(({ index, error }) => [index, error.code as string]), [[1000n, code]]);
      assert.equal(warnings.length, 1);
      assert.include(storage.damaged[0]!.error.message, root);
      await rejects(storage.open(), "NOT_FOUND");
      await storage.close();
      const [, corrupt, ...others] = await namesIn(root);
      assert.match(corrupt!, /^corrupt-1000-/);
      assert.deepEqual(others, []);
      assert.deepEqual(await listing(`${root}/${corrupt}`), before); // for a person to look at
    }));
}

test("without a manifest, which may be away: left alone", () =>
  withCopy("rejects/no-meta-file", async (root) => {
    const before = await listing(`${root}/snapshot_00000000000000001000`);
    const storage = await DirectoryStorage.open(root);
    assert.deepEqual(storage.damaged, []);
    assert.deepEqual(await storage.list(), []);
    const [unreadable] = await storage.unreadable();
    assert.deepEqual([unreadable!.index, unreadable!.error.code as string], [1000n, "UNAVAILABLE"]);
    await rejects(storage.open(), "UNAVAILABLE"); // which is not to say that there is none
    await storage.close();
    assert.deepEqual(await listing(`${root}/snapshot_00000000000000001000`), before);
  }));

const TOLERATED = [
  "file-without-meta",
  "ok-handmade",
  "prefix-same",
  "sidecar-in-snapshot",
  "source-unknown-enum",
  "unknown-file",
  "unknown-snapshotmeta",
];

for (const name of TOLERATED) {
  test(`tolerated: ${name}`, () =>
    withCopy(`rejects/${name}`, async (root) => {
      const before = await namesIn(root);
      const storage = await DirectoryStorage.open(root);
      assert.deepEqual(storage.damaged, []);
      await checkNewest(storage, (await expectedOf(`rejects/${name}`)).braft);
      await storage.close();
      assert.deepEqual(await namesIn(root), [".lock", ...before]);
    }));
}

test("what braft takes for a newer snapshot does not cost the good one", () =>
  withCopy("rejects/prefix-newer", async (root) => {
    const storage = await DirectoryStorage.open(root);
    assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [1000n]);
    await storage.close();
    assert.deepEqual(
      await namesIn(root),
      [".lock", "snapshot_00000000000000001000", "snapshot_00000000000000002000.bak"],
    );
  }));

for (const directory of ["snapshot_1000", "snapshot_00000000000000000000", "snapshot_99999999999999999999"]) {
  test(`not called like a snapshot of ours, left alone: ${directory}`, () =>
    withCopy("rejects/unpadded", async (root) => {
      if (directory !== "snapshot_1000") await cp(`${root}/snapshot_1000`, `${root}/${directory}`, { recursive: true });
      const before = await listing(`${root}/${directory}`);
      const storage = await DirectoryStorage.open(root);
      assert.deepEqual(storage.damaged, []);
      assert.deepEqual(await storage.list(), []);
      await storage.close();
      assert.deepEqual(await listing(`${root}/${directory}`), before);
    }));
}
