// Directories with snapshots of more than one system.

import { DirectoryStorage } from "../../src/fs.ts";
import { detectFormat, listFormat, openFormat, type System } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { archive, unarchive } from "../../mod.ts";
import { filesOf, fixture } from "../support/format_files.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

/** The files of fixtures, each in a directory of its own. */
function together(...paths: string[]): Record<string, Uint8Array> {
  return Object.fromEntries(paths.flatMap((path) => {
    const contents = fixture(path) as Record<string, Uint8Array>;
    return Object.entries(contents).map(([name, bytes]) => [`${path.replaceAll("/", "-")}/${name}`, bytes]);
  }));
}

test("formats: of a directory with snapshots of several systems none is opened unless one is named", async () => {
  const pairs: [paths: string[], systems: System[]][] = [
    [["flink/2.1-heap", "hashicorp/small"], ["flink", "hashicorp"]],
    [["hashicorp/small", "ratis/small", "braft/nested"], ["hashicorp", "ratis", "braft"]],
  ];
  for (const [paths, systems] of pairs) {
    const files = filesOf(together(...paths), "backups");
    const [system, ...others] = systems;
    assert.deepInclude(await detectFormat(files), { system, sure: "certain", others });
    for (const open of [openFormat, listFormat]) {
      const error = await rejects(open(files), "UNSUPPORTED");
      assert.match(
        error.message,
        new RegExp(`"backups" has snapshots of several systems, ${systems.join(" and ")}: name`),
      );
    }
    for (const system of systems) {
      const reader = await openFormat(files, { system });
      assert.strictEqual(reader.system, system);
      await reader.close();
    }
  }
});

test("formats: a snapshot of ours whose files are another system's is ours alone", () =>
  inTemp(async (root) => {
    const theirs = await openFormat(filesOf(fixture("flink/2.1-heap"), "savepoint"));
    const storage = await DirectoryStorage.open(root);
    await unarchive(archive(theirs), storage);
    await storage.close();
    const found = await detectFormat(await sourceFiles(root));
    assert.deepInclude(found, { system: "braft", sure: "certain" });
    assert.notProperty(found, "others");
  }));

test("formats: of a directory with snapshots of several groups, jobs or nodes none is opened", async () => {
  const cases: [path: string, system: System][] = [
    ["hashicorp/small", "hashicorp"],
    ["ratis/small", "ratis"],
    ["flink/2.1-heap", "flink"],
    ["braft/nested", "braft"],
  ];
  for (const [path, system] of cases) {
    const one = fixture(path) as Record<string, Uint8Array>;
    const below = (parent: string) => Object.entries(one).map(([name, bytes]) => [`${parent}/${name}`, bytes]);
    const files = filesOf(Object.fromEntries([...below("a/snapshot_7"), ...below("b/snapshot_7")]), "backups");
    assert.deepInclude(await detectFormat(files), { system, sure: "certain" });
    for (const open of [openFormat, listFormat]) {
      const { message } = await rejects(open(files), "UNSUPPORTED");
      assert.match(message, new RegExp(`snapshots of ${system} in several directories, "a/.*" and "b/.*": name`));
    }
    await (await openFormat(filesOf(Object.fromEntries(below("a/snapshot_7")), "backups"))).close();
  }
});

test("formats, ratis: peers and log are those of the snapshot's own group", async () => {
  const small = fixture("ratis/small") as Record<string, Uint8Array>;
  const other = Object.entries(small).filter(([name]) => name.includes("/current/"))
    .map(([name, bytes]) => [`other${name.slice(1)}`, bytes] as const);
  assert.isNotEmpty(other);
  const files = filesOf(
    Object.fromEntries([
      ...other, // a group that has no snapshot yet comes first
      ...Object.entries(small).filter(([name]) => !name.includes("/current/")),
    ]),
    "storage",
  );
  const reader = await openFormat(files);
  assert.deepEqual(reader.meta.peers, []);
  assert.deepEqual(reader.details.log, []);
  await reader.close();
});

test("formats, braft and JRaft: what looks like a snapshot in a snapshot is its content; a list says the term", async () => {
  const jraft = fixture("jraft") as Record<string, Uint8Array>;
  const [manifest] = Object.values(jraft) as [Uint8Array];
  const files = filesOf({
    "snapshot_10/__raft_snapshot_meta": manifest,
    "snapshot_10/data": new Uint8Array(5),
    "snapshot_10/old/snapshot_99/__raft_snapshot_meta": manifest,
  }, "storage");
  const found = await listFormat(files);
  assert.deepEqual(found.map(({ index, term }) => [index, term]), [[10n, 3n]]);
  const renamed = filesOf({ "__raft_snapshot_meta": manifest }, "copy");
  assert.deepEqual((await listFormat(renamed)).map(({ index, term }) => [index, term]), [[10n, 3n]]);
  await (await openFormat(renamed, { index: 10n })).close();
});
