/**
 * SQLite: database files.
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { readBlocks, readStart, type SourceFiles, withFile } from "../files.ts";
import type { Format, FormatEntriesOptions, FormatEntry } from "../format.ts";
import { ForeignReader, type Verification } from "../reader.ts";
import { HEADER, MAGIC, parseHeader, SqliteDatabase, type SqliteTree } from "./database.ts";

/** The name of the file in the snapshot. */
const FILE = "database.sqlite";

async function headerOf(files: SourceFiles) {
  const { name, size } = files.entries[0]!;
  return parseHeader(await readStart(files, name, HEADER), size, name);
}

async function verify(files: SourceFiles, run: Verification): Promise<void> {
  const { name } = files.entries[0]!;
  await run.attempt(FILE, () =>
    withFile(files, name, async (file) => {
      const database = await SqliteDatabase.open(file, name, (bytes) => {
        throwIfCancelled(run.signal);
        run.tracker.add(bytes);
      });
      for (const { kind, name, root } of await database.trees()) {
        let rows = 0;
        for await (const _ of database.rows(root)) rows++;
        run.checked(`${kind} ${name}: ${rows} rows`);
      }
      await database.checkFree();
    }));
}

async function* entries(
  files: SourceFiles,
  { space }: FormatEntriesOptions,
): AsyncGenerator<FormatEntry, void, undefined> {
  const { name } = files.entries[0]!;
  const file = await files.open(name);
  try {
    const database = await SqliteDatabase.open(file, name, () => {});
    for (const tree of await database.trees()) {
      if (tree.kind !== "table" || space !== undefined && tree.name !== space) continue;
      for await (const { row, columns } of database.rows(tree.root)) {
        yield { space: tree.name, key: row ?? columns, value: columns };
      }
    }
  } finally {
    await file.close();
  }
}

/**
 * SQLite's database files. `entries` gives rows: the key is the number of the row, or all columns in a table without
 * them; a column that is the number itself is `null` among the columns, as it is in the file.
 */
export const sqlite: Format = {
  system: "sqlite",
  async detect(files) {
    const [file] = files.entries;
    if (files.isDirectory || file === undefined) return undefined;
    const start = new TextDecoder().decode(await readStart(files, file.name, MAGIC.length));
    return start === MAGIC ? { system: "sqlite", sure: "certain", description: "SQLite database" } : undefined;
  },
  async list(files) {
    await headerOf(files);
    return [{ index: 1n, term: 0n, ...files.entries[0]! }];
  },
  async open(files, index) {
    const { name, size } = files.entries[0]!;
    if (index !== undefined && index !== 1n) {
      throw new SnapshotError("NOT_FOUND", "A database of SQLite has no index: it counts as 1", { index });
    }
    const { pageSize, pages, encoding, wal, userVersion, applicationId, freePages } = await headerOf(files);
    const trees: SqliteTree[] = await withFile(
      files,
      name,
      async (file) => await (await SqliteDatabase.open(file, name, () => {})).trees(),
    );
    return await ForeignReader.of({
      system: "sqlite",
      meta: { lastIncludedIndex: 1n, lastIncludedTerm: 0n, peers: [] },
      files: [{ name: FILE, size, read: (start, end, options) => readBlocks(files, name, start, end, options) }],
      details: {
        ...{ pageSize, pages, freePages, encoding, wal, userVersion, applicationId },
        tables: trees.filter(({ kind }) => kind === "table").map(({ name, sql }) => ({ name, sql })),
      },
      checked: ["the header, the number of pages, that all rows can be parsed and no page is in two places"],
      unchecked: [
        "the content of rows: SQLite has no checksums",
        ...(wal ? ["its write-ahead log: what is in a file -wal beside it is not read"] : []),
      ],
      verify: (verification) => verify(files, verification),
      entries: (options) => entries(files, options),
    });
  },
};
