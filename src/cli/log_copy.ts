/**
 * A log that another process has open, read without it: SQLite's lock keeps everybody else from the database itself.
 *
 * @module
 */

import type { FileHandle } from "node:fs/promises";
import { copyFile, open, stat } from "node:fs/promises";
import { messageOf, SnapshotError } from "../errors.ts";
import { yieldTurn } from "../async/mod.ts";

/** The attempts to copy both files before the write-ahead log begins anew. */
const TRIES = 20;
/** The head of a write-ahead log: it has other numbers whenever that begins anew. */
const WAL_HEAD = 32;

/**
 * Copies the files of a log, so that the copy has all that was durable when this was called.
 *
 * What its owner brings from the write-ahead log into the database while that is copied is in the write-ahead log too,
 * and counts from there, as long as that is not begun anew: then both are copied once more. What is copied is synced
 * first: the owner may not have acknowledged it, and must not lose it any more.
 *
 * @param path the file of the log
 * @param to the file of the copy
 * @throws {SnapshotError} `BUSY` if its owner writes so much that no attempt was quick enough; `CORRUPT` if the copy is
 *   no database
 */
export async function copyOpenLog(path: string, to: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await stateOf(path);
    await copyFile(path, to);
    await copyFile(`${path}-wal`, `${to}-wal`);
    await sync(`${path}-wal`);
    await sync(path);
    if (await stateOf(path) === before && await headOf(`${to}-wal`) === await headOf(`${path}-wal`)) {
      return await check(to);
    }
    await yieldTurn();
  }
  throw new SnapshotError(
    "BUSY",
    `A program has the log ${path} open, and writes to it too quickly for it to be copied beside that: let the program ` +
      "serve its replica (`serve`, `snapshotHandler` with a target), or back it up itself (`Backup`)",
    { file: path },
  );
}

/** What is another once the write-ahead log began anew; without one, once the database was written. */
async function stateOf(path: string): Promise<string> {
  const head = await headOf(`${path}-wal`);
  if (head !== "") return head;
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return `${size} ${mtimeNs}`;
}

async function headOf(path: string): Promise<string> {
  return await withFile(path, async (file) => {
    const { buffer, bytesRead } = await file.read(new Uint8Array(WAL_HEAD), 0, WAL_HEAD, 0);
    return bytesRead < WAL_HEAD ? "" : buffer.join();
  });
}

async function sync(path: string): Promise<void> {
  await withFile(path, (file) => file.sync());
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, "r");
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** Reads the structure of all pages. */
async function check(path: string): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path);
  try {
    const found = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {}).join();
    if (found !== "ok") throw new Error(found);
  } catch (error) {
    throw new SnapshotError("CORRUPT", `The copy ${path} is no whole log: ${messageOf(error)}`, {
      file: path,
      cause: error,
    });
  } finally {
    database.close();
  }
}
