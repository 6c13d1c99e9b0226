// A database file, written by the real SQLite (3.40).

import { copyFile, writeFile } from "node:fs/promises";
import { detectFormat, openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { cutsThatPass, filesOf, fixture, FIXTURES, isFoundBad } from "../support/format_files.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

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

test("formats, sqlite: a database of which a part stands in another file is refused", async () => {
  await inTemp(async (directory) => {
    const path = `${directory}/small.db`;
    await copyFile(`${FIXTURES}/sqlite/small.db`, path);
    const opens = async () => await (await openFormat(await sourceFiles(path))).close();
    const log = new Uint8Array(4096);
    log.fill(7, 16, 24).fill(7, 40, 48); // the salts of the log, and of its first frame
    await writeFile(`${path}-wal`, log);
    const { message } = await rejects(opens(), "UNSUPPORTED");
    assert.include(message, "small.db-wal");
    await writeFile(`${path}-wal`, log.fill(8, 40, 48)); // of a round that was written into the database
    await opens();
    await writeFile(`${path}-wal`, new Uint8Array(0));
    await opens();
    await writeFile(`${path}-journal`, Uint8Array.of(0xd9, 0xd5, 5, 0xf9));
    assert.include((await rejects(opens(), "UNSUPPORTED")).message, "small.db-journal");
    await writeFile(`${path}-journal`, new Uint8Array(512)); // one that is kept, of a transaction that has ended
    await opens();
  });
  const { unchecked } = await (await openFormat(filesOf(fixture("sqlite/small.db"), "small.db"))).verify().result;
  assert.include(unchecked.join(), "-journal"); // in memory nobody can look beside it
});

test("formats, sqlite: a text that begins with a byte order mark keeps it", async () => {
  const contents = (fixture("sqlite/small.db") as Uint8Array).slice();
  const at = new TextDecoder("latin1").decode(contents).indexOf("name 3?");
  contents.set(new TextEncoder().encode("\ufeffabc"), at);
  const reader = await openFormat(filesOf(contents, "small.db"));
  const people = await Array.fromAsync(reader.entries({ space: "people" }));
  assert.deepEqual((people[2]!.value as unknown[])[1], "\ufeffabc");
  await reader.close();
});
