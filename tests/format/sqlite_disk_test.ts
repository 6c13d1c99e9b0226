// A database file, written by the real SQLite (3.40).

import { detectFormat, openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { cutsThatPass, filesOf, fixture, FIXTURES, isFoundBad } from "../support/format_files.ts";
import { assert, test } from "../support/harness.ts";

test("formats, sqlite: tables, rows, and what has no checksum", async () => {
  const files = await sourceFiles(`${FIXTURES}/sqlite/small.db`);
  assert.deepInclude(await detectFormat(files), { system: "sqlite", sure: "certain" });
  const reader = await openFormat(files);
  assert.deepInclude(reader.details, { pageSize: 1024, encoding: "utf-8", wal: false });
  assert.deepEqual((reader.details.tables as { name: string }[]).map(({ name }) => name), ["people", "kv"]);
  const { ok, checked, unchecked } = await reader.verify().result;
  assert.isTrue(ok);
  assert.includeMembers([...checked], ["table people: 51 rows", "table kv: 2 rows", "index by_name: 51 rows"]);
  assert.lengthOf(unchecked, 1);
  const people = await Array.fromAsync(reader.entries({ space: "people" }));
  assert.deepEqual(people[2], { space: "people", key: 3n, value: [null, "name 3", 1.5, Uint8Array.of(1, 2)] });
  // A row that overflows to other pages.
  assert.deepEqual(people[50], { space: "people", key: 100n, value: [null, null, -7n, new Uint8Array(3000)] });
  const pairs = await Array.fromAsync(reader.entries({ space: "kv" }));
  assert.deepEqual(pairs.map(({ value }) => value), [["a", "1"], ["b", "2"]]);
  await reader.close();
});

test("formats, sqlite: each length that it is cut to is found, and pages that do not fit together", async () => {
  const contents = fixture("sqlite/small.db") as Uint8Array;
  assert.deepEqual(await cutsThatPass(contents, undefined, "small.db"), []);
  for (const at of [16, 17, 20, 21, 56, 100, 103, 104, 1024, 1027, 1028]) {
    const changed = contents.slice();
    changed[at]! ^= 0xff;
    assert.isTrue(await isFoundBad(filesOf(changed, "small.db")), `byte ${at}`);
  }
});
