// Checkpoints of a RocksDB whose keys were changed between them: several tables of each state on two levels, in which
// keys are put, deleted and added to.

import { openFormat, type SourceFiles } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { filesOf, fixture, FIXTURES } from "../support/format_files.ts";
import { checkUpdates } from "../support/flink_updates.ts";
import { assert, rejects, test } from "../support/harness.ts";

const PATH = `flink/2.1-updates-rocksdb`;
/** Tables end with this. */
const MAGIC = "\xf7\xcf\xf4\x85\xb7\x41\xe2\x88";

/** The files, with each table changed. */
function withTables(change: (table: Uint8Array) => void): SourceFiles {
  const contents = fixture(PATH) as Record<string, Uint8Array>;
  for (const bytes of Object.values(contents)) {
    if (String.fromCharCode(...bytes.subarray(-MAGIC.length)) === MAGIC) change(bytes);
  }
  return filesOf(contents, "job");
}

test("formats, rocksdb: of keys that were changed, added to and deleted, the newest of all levels is given", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/${PATH}`));
  await checkUpdates(reader, 60, 8);
  await reader.close();
});

test("formats, rocksdb: a table whose check or version is not known is said to be unread, and is not called damaged", async () => {
  const cases: [change: (table: Uint8Array) => void, message: RegExp][] = [
    [(table) => table[table.length - 53] = 3, /its check has the number 3/],
    [(table) => table[table.length - 12] = 6, /it is of version 6/],
  ];
  for (const [change, message] of cases) {
    const reader = await openFormat(withTables(change));
    const { ok, unchecked } = await reader.verify().result;
    assert.isTrue(ok);
    assert.match(unchecked.join("\n"), message);
    await rejects(Array.fromAsync(reader.entries()), "UNSUPPORTED");
    await reader.close();
  }
});

test("formats, rocksdb: a changed byte of a block does not have its XXH3", async () => {
  const reader = await openFormat(withTables((table) => table[20]! ^= 1));
  const { ok, bad } = await reader.verify().result;
  assert.isFalse(ok);
  assert.match(bad[0]!.message, /does not have its XXH3/);
  await rejects(Array.fromAsync(reader.entries()), "CORRUPT");
  await reader.close();
});
