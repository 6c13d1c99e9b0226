/**
 * The pages of an SQLite file that hold nothing: where the file was made to, they are given back to the file system.
 *
 * @module
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { lookNow } from "../fs/mod.ts";

/** Pages that one step gives back: about a millisecond of the thread. */
const STEP = 128;

/**
 * Makes a file that has nothing yet one that can shrink. Any other stays as it is.
 *
 * @param database just opened: nothing was done with it
 * @returns whether it had nothing
 */
export function makeShrinkable(database: DatabaseSync): boolean {
  const isNew = numberOf(database.prepare("PRAGMA page_count")) === 0;
  if (isNew) database.exec("PRAGMA auto_vacuum = INCREMENTAL");
  return isNew;
}

/** The pages of a file. */
export class SqlitePages {
  readonly #count: StatementSync;
  readonly #free: StatementSync;
  readonly #step: StatementSync;
  /** True if pages can be given back one by one. */
  readonly canShrink: boolean;

  /** @param database whose file it is */
  constructor(database: DatabaseSync) {
    this.#count = database.prepare("PRAGMA page_count");
    this.#free = database.prepare("PRAGMA freelist_count");
    this.#step = database.prepare(`PRAGMA incremental_vacuum(${STEP})`);
    this.canShrink = numberOf(database.prepare("PRAGMA auto_vacuum")) === 2;
  }

  /** The number of its pages. */
  get count(): number {
    return numberOf(this.#count);
  }

  /** The number of pages that hold nothing. */
  get free(): number {
    return numberOf(this.#free);
  }

  /** Gives some back. The file itself is cut at the next checkpoint. */
  step(): void {
    this.#step.all(); // a row for each page: on Deno, `run` and `exec` end after the first
  }
}

/** The number that a pragma answers with. */
function numberOf(pragma: StatementSync): number {
  return Number(Object.values(pragma.get() ?? {})[0]);
}

/**
 * The size of a file, 0 if there is none.
 */
export function sizeOf(path: string): number {
  try {
    return lookNow(path)?.size ?? 0;
  } catch {
    return 0; // Deno may be allowed the database, and not the files beside it: their room is not bounded then
  }
}
