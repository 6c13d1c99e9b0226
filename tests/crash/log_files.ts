// A log's files, as a crash leaves them.

import { readFileSync, writeFileSync } from "node:fs";

/** An SQLite database and its write-ahead log. Between two transactions all of it is durable. */
export interface LogFiles {
  readonly database: Uint8Array;
  readonly wal: Uint8Array;
}

/** The files of a log that may be open. */
export function filesOf(path: string): LogFiles {
  const read = (path: string) => new Uint8Array(readFileSync(path)); // a copy: slices of a `Buffer` share its memory
  return { database: read(path), wal: read(`${path}-wal`) };
}

/** Puts them where a log can be opened. */
export function putFiles(path: string, { database, wal }: LogFiles): void {
  writeFileSync(path, database);
  writeFileSync(`${path}-wal`, wal);
}
