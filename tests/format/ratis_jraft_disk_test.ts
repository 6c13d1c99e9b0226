// Snapshots of Ratis, JRaft and braft, written by the real programs, by what their EXPECTED.json say.

import { readdirSync, readFileSync } from "node:fs";
import { DirectoryStorage, sourceFiles } from "../../src/fs.ts";
import { detectFormat, listFormat, openFormat } from "../../src/formats.ts";
import { sha256, toHex } from "../../src/stream/mod.ts";
import { cutsThatPass, filesOf, fixture, FIXTURES, flipsThatPass, isFoundBad } from "../support/format_files.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { commitFiles, META } from "../fuzz/targets/samples.ts";
import { inTemp } from "../support/temp.ts";

const GROUP = "02511d47-d67c-49a3-9011-abb3109a44c1";

interface Expected {
  readonly snapshots: readonly {
    readonly term: string;
    readonly index: string;
    readonly file: string;
    readonly size: number;
    readonly md5: string;
  }[];
}

test("formats, ratis: what EXPECTED.json says, at each level of the directory", async () => {
  const { snapshots } = JSON.parse(readFileSync(`${FIXTURES}/ratis/small/EXPECTED.json`, "utf8")) as Expected;
  for (const path of ["", `/${GROUP}`, `/${GROUP}/sm`]) {
    const files = await sourceFiles(`${FIXTURES}/ratis/small${path}`);
    assert.deepInclude(await detectFormat(files), { system: "ratis", sure: "certain" });
    assert.deepEqual((await listFormat(files)).map(({ index }) => String(index)), snapshots.map(({ index }) => index));
    for (const { term, index, file, size, md5 } of snapshots) {
      const reader = await openFormat(files, { index: BigInt(index) });
      assert.strictEqual(String(reader.meta.lastIncludedTerm), term);
      assert.deepEqual(reader.meta.peers, path.endsWith("/sm") ? [] : ["127.0.0.1:16001"]);
      assert.deepInclude(reader.details, { md5, retained: ["snapshot.3_304", "snapshot.2_202"] });
      assert.strictEqual((await bytesOf(reader.file(file))).length, size);
      assert.isTrue((await reader.verify().result).ok);
      await reader.close();
    }
  }
});

test("formats, ratis: each change is found, each length; a digest of another is refused; without one it is said", async () => {
  const contents = fixture(`ratis/small/${GROUP}/sm`) as Record<string, Uint8Array>;
  const one = { "snapshot.3_304": contents["snapshot.3_304"]!, "snapshot.3_304.md5": contents["snapshot.3_304.md5"]! };
  assert.deepEqual(await flipsThatPass(one, "snapshot.3_304", "sm", 5), []);
  assert.deepEqual(await cutsThatPass(one, "snapshot.3_304", "sm"), []);
  assert.deepEqual(await cutsThatPass(one, "snapshot.3_304.md5", "sm"), [one["snapshot.3_304.md5"].length - 1]);
  assert.isTrue(await isFoundBad(filesOf({ ...one, "snapshot.3_304.md5": contents["snapshot.2_202.md5"]! }, "sm")));
  const { "snapshot.3_304.md5": _, ...bare } = contents;
  const files = filesOf(bare, "sm");
  assert.strictEqual((await openFormat(files)).meta.lastIncludedIndex, 202n, "one with a digest is preferred");
  const newest = await openFormat(files, { index: 304n });
  assert.lengthOf((await newest.verify().result).unchecked, 2);
});

test("formats, jraft: names, checksums and learners of the manifest", async () => {
  const meta = (fixture("jraft") as Record<string, Uint8Array>)["__raft_snapshot_meta"]!;
  const contents = { "__raft_snapshot_meta": meta, data: noise(9, 1), "small.txt": noise(3, 2) };
  const files = filesOf(contents, "snapshot_10");
  assert.deepInclude(await detectFormat(files), { system: "jraft", sure: "certain" });
  const reader = await openFormat(files);
  assert.deepEqual([reader.meta.lastIncludedIndex, reader.meta.lastIncludedTerm], [10n, 3n]);
  assert.deepEqual(reader.meta.peers, ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"]);
  assert.deepEqual(reader.details.learners, ["127.0.0.1:8084"]);
  assert.deepEqual(reader.details.checksums, { data: "f913fd75a92056bc", "small.txt": "ca62693758fed996" });
  assert.strictEqual(new TextDecoder().decode(reader.info("small.txt").userMeta), "um");
  assert.isTrue((await reader.verify().result).ok);
  const { data: _, ...less } = contents;
  assert.isTrue(await isFoundBad(filesOf(less, "snapshot_10")), "a file that is missing");
  assert.deepEqual(await cutsThatPass(contents, "__raft_snapshot_meta", "snapshot_10"), []);
});

interface BraftExpected {
  readonly newest?: {
    readonly lastIncludedIndex: string;
    readonly lastIncludedTerm: string;
    readonly peers: string[];
    readonly files: readonly { readonly name: string; readonly sha256?: string; readonly missing?: boolean }[];
  };
}

test("formats, braft: what the EXPECTED.json of each fixture says", async () => {
  for (const name of readdirSync(`${FIXTURES}/braft`)) {
    if (name === "rejects") continue;
    const { newest } = JSON.parse(readFileSync(`${FIXTURES}/braft/${name}/EXPECTED.json`, "utf8")) as BraftExpected;
    const files = await sourceFiles(`${FIXTURES}/braft/${name}/storage`);
    assert.deepInclude(await detectFormat(files), { system: "braft", sure: "certain" });
    const reader = await openFormat(files);
    const { lastIncludedIndex, lastIncludedTerm, peers } = reader.meta;
    assert.strictEqual(String(lastIncludedIndex), newest!.lastIncludedIndex, name);
    assert.strictEqual(String(lastIncludedTerm), newest!.lastIncludedTerm, name);
    assert.deepEqual(peers, newest!.peers);
    for (const file of newest!.files) {
      if (file.missing === true) await rejects(bytesOf(reader.file(file.name)), "NOT_FOUND");
      else assert.strictEqual(toHex(await sha256(await bytesOf(reader.file(file.name)))), file.sha256);
    }
    await reader.close();
  }
});

test("formats, braft: of a snapshot of our own every change is found", () =>
  inTemp(async (directory) => {
    const storage = await DirectoryStorage.open(directory);
    await commitFiles(storage, META, { a: [noise(300, 1)] });
    await storage.close();
    const files = await sourceFiles(directory);
    const reader = await openFormat(files);
    const { ok, unchecked } = await reader.verify().result;
    assert.isTrue(ok);
    assert.deepEqual(unchecked, []);
    const [{ name: snapshot } = { name: "" }] = await listFormat(files);
    const contents: Record<string, Uint8Array> = {};
    for (const { name } of files.entries.filter(({ name }) => name.startsWith(snapshot))) {
      contents[name.slice(snapshot.length + 1)] = new Uint8Array(readFileSync(`${directory}/${name}`));
    }
    assert.deepEqual(await flipsThatPass(contents, "a", snapshot), []);
    assert.deepEqual(await cutsThatPass(contents, "a", snapshot), []);
    assert.deepEqual(await flipsThatPass(contents, "__raft_snapshot_meta", snapshot), []);
    await reader.close();
  }));
