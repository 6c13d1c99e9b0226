// What is written for other systems is read back; the real programs have read it too (src/README.md).

import { MemoryStorage } from "../../mod.ts";
import { openFormat, type SourceFiles, WRITABLE_SYSTEMS, writeFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { writeFiles } from "../../src/format/disk/write.ts";
import { commitFiles, META } from "../fuzz/targets/samples.ts";
import { type Contents, filesOf, fixture, FIXTURES } from "../support/format_files.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const PEERS = ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0"];
/** Members of etcd, which are numbers. */
const MEMBERS = ["2e1259d415f2a040", "1"];

async function written(
  reader: Parameters<typeof writeFormat>[0],
  system: typeof WRITABLE_SYSTEMS[number],
  file?: string,
): Promise<SourceFiles> {
  const all: Record<string, Uint8Array> = {};
  const options = file === undefined ? { system } : { system, file };
  for await (const { name, content } of writeFormat(reader, options)) all[name] = await bytesOf(content);
  const contents: Contents = all[""] ?? all;
  return filesOf(contents, "written");
}

for (const system of WRITABLE_SYSTEMS) {
  test(`formats, write: a snapshot of ours is written for ${system}, and read back`, async () => {
    for (const size of [0, 1, 511, 512, 700_000]) {
      const storage = new MemoryStorage();
      await commitFiles(storage, { ...META, peers: system === "etcd-snap" ? MEMBERS : PEERS }, {
        a: [noise(9, 1)],
        state: [noise(size, 2)],
      });
      const reader = await storage.open();
      if (system !== "jraft") await rejects(written(reader, system), "UNSUPPORTED");
      await rejects(written(reader, system, "b"), "NOT_FOUND");
      const back = await openFormat(await written(reader, system, "state"));
      assert.strictEqual(back.system, system);
      assert.strictEqual(back.meta.lastIncludedIndex, META.lastIncludedIndex);
      assert.strictEqual(back.meta.lastIncludedTerm, META.lastIncludedTerm);
      const peers = system === "etcd-snap" ? MEMBERS : ["10.0.0.1:8200", "10.0.0.2:8200"];
      if (system !== "ratis") assert.deepEqual(back.meta.peers, peers);
      assert.isTrue((await back.verify().result).ok);
      assert.deepEqual(await bytesOf(back.file(back.manifest.files[0]!.name)), noise(size, 2));
      await reader.close();
      await storage.close();
    }
  });
}

test("formats, write: from a store to an archive and back, servers and their identifiers stay", async () => {
  const store = await openFormat(await sourceFiles(`${FIXTURES}/hashicorp/small`));
  const archive = await openFormat(await written(store, "consul"));
  const again = await openFormat(await written(archive, "hashicorp"));
  for (const one of [archive, again]) {
    assert.deepEqual(one.details.servers, store.details.servers);
    assert.strictEqual(one.details.id, store.details.id);
    assert.strictEqual(one.details.configurationIndex, 2n);
    assert.deepEqual(await bytesOf(one.file("state.bin")), await bytesOf(store.file("state.bin")));
  }
});

test("formats, write: what etcd and JRaft wrote is written again byte for byte", async () => {
  const name = "0000000000000002-000000000000000b.snap";
  const snap = await openFormat(await sourceFiles(`${FIXTURES}/etcd/${name}`));
  for await (const file of writeFormat(snap, { system: "etcd-snap" })) {
    assert.strictEqual(file.name, name);
    assert.deepEqual(await bytesOf(file.content), fixture(`etcd/${name}`));
  }
  const { "__raft_snapshot_meta": manifest } = fixture("jraft") as Record<string, Uint8Array>;
  const contents = { "__raft_snapshot_meta": manifest!, data: noise(9, 1), "small.txt": noise(3, 2) };
  const files = await openFormat(filesOf(contents, "snapshot_10"));
  const again: Record<string, Uint8Array> = {};
  for await (const { name, content } of writeFormat(files, { system: "jraft" })) again[name] = await bytesOf(content);
  assert.deepEqual(Object.keys(again).at(-1), "snapshot_10/__raft_snapshot_meta", "it comes last");
  for (const [name, bytes] of Object.entries(contents)) assert.deepEqual(again[`snapshot_10/${name}`], bytes, name);
});

test("formats, write: etcd's members are numbers; JRaft is given all files, and no checksum of somebody else's", async () => {
  const storage = new MemoryStorage();
  await commitFiles(storage, { ...META, peers: PEERS }, { a: [noise(9, 1)], "b/c": [noise(10, 2)] });
  const reader = await storage.open();
  await rejects(written(reader, "etcd-snap", "a"), "UNSUPPORTED");
  const servers = [{ suffrage: "voter", id: "A1", address: "" }, {
    suffrage: "nonvoter",
    id: "b2",
    address: "",
  }] as const;
  const all: Record<string, Uint8Array> = {};
  for await (const { name, content } of writeFormat(reader, { system: "etcd-snap", file: "a", servers })) {
    all[name] = await bytesOf(content);
  }
  const snap = await openFormat(filesOf({ ...all, "0000000000000001-0000000000000001.snap": noise(50, 1) }, "snap"));
  assert.deepEqual(snap.details, { voters: ["a1"], learners: ["b2"] }, "one that cannot be read is passed over");
  const back = await openFormat(await written(reader, "jraft"));
  assert.deepEqual(back.manifest.files.map(({ name, checksum }) => [name, checksum]), [["a", undefined], [
    "b/c",
    undefined,
  ]]);
  assert.deepEqual(await bytesOf(back.file("b/c")), noise(10, 2));
  await storage.close();
});

test("formats, write: a place that is taken is left as it is; what fails leaves nothing", () =>
  inTemp(async (directory) => {
    const disk = defaultDisk();
    const store = await openFormat(await sourceFiles(`${FIXTURES}/hashicorp/small`));
    const write = (name: string) =>
      writeFiles(disk, `${directory}/${name}`, writeFormat(store, { system: "hashicorp" }));
    await write("taken");
    await rejects(write("taken"), "BUSY");
    assert.isTrue((await (await openFormat(await sourceFiles(`${directory}/taken`))).verify().result).ok);
    const failing = async function* () {
      yield { name: "a/b", content: new Response("half").body! };
      throw new Error("the source is gone");
    };
    await writeFiles(disk, `${directory}/half`, failing()).catch(() => {});
    assert.deepEqual((await disk.list(directory)).map(({ name }) => name), ["taken"]);
  }));
