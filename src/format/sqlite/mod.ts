/**
 * SQLite: database files.
 *
 * @module
 */

import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { equal } from "../../stream/mod.ts";
import { readBlocks, readStart, type SourceFiles, withFile } from "../files.ts";
import type { Format, FormatEntriesOptions, FormatEntry } from "../format.ts";
import { ForeignReader, type Verification } from "../reader.ts";
import { HEADER, MAGIC, parseHeader, SqliteDatabase, type SqliteTree } from "./database.ts";

/** The name of the file in the snapshot. */
const FILE = "database.sqlite";

/** Where SQLite keeps what is not in the file yet, or what in it was not committed, and how many bytes say so. */
const COMPANIONS = [
  { suffix: "-wal", head: 56, has: "changes that may not be in it", isUsed: hasFrames },
  { suffix: "-journal", head: 1, has: "what is to be taken back in it", isUsed: ([first]: Uint8Array) => first !== 0 },
] as const;

/** A write-ahead log has a frame of its own round: those of an earlier round have other salts. */
function hasFrames(head: Uint8Array): boolean {
  return equal(head.subarray(16, 24), head.subarray(40, 48));
}

/** Refuses a file that is not the whole of its database: it would be an older state, or one that never was. */
async function checkAlone({ name, beside }: SourceFiles): Promise<void> {
  for (const { suffix, head, has, isUsed } of COMPANIONS) {
    const file = await beside?.(suffix);
    if (file === undefined) continue;
    try {
      if (file.size < head || !isUsed(await file.read(0, head))) continue;
    } finally {
      await file.close();
    }
    throw new SnapshotError(
      "UNSUPPORTED",
      `${JSON.stringify(name)} is not all of its database: ${
        JSON.stringify(name + suffix)
      } beside it has ${has}. Have ` +
        "SQLite make one file of both: VACUUM INTO, or opening and closing it",
      { file: name + suffix },
    );
  }
}

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
 * them. Columns are as they are in the file: one that is the number itself is `null`, those that a table without
 * numbers is sorted by come first, those that were added after the row was written are missing, computed ones that are
 * not stored too, and a `REAL` that is whole is a `bigint`.
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
    await checkAlone(files);
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
        ...(files.beside === undefined ? ["whether a -wal or -journal belongs to it: only the file was given"] : []),
      ],
      verify: (verification) => verify(files, verification),
      entries: (options) => entries(files, options),
    });
  },
};
