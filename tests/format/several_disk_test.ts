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
