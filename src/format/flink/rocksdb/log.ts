/**
 * The log of changes of a RocksDB, `MANIFEST-…`: its states, which it calls column families, and the tables of each.
 *
 * ```text
 * log    = blocks of 32 KiB of records = masked CRC-32C u32le of what follows the length, length u16le, type u8, bytes;
 *          zeros where no record fits
 * type   = 1: whole; 2, 3, 4: the first, a middle, the last part; 5 to 8: the same, with a number u32le
 * change = { tag varint, what belongs to it }, of which those that are not known have a length
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../../errors.ts";
import { concat } from "../../../stream/mod.ts";
import { maskedCrc } from "../../bytes/crc.ts";
import { Cursor } from "../../bytes/cursor.ts";

const [LOG_BLOCK, RECORD_HEAD] = [32 * 1024, 7];
/** The tags of changes. */
const Tag = {
  ...{ COMPARATOR: 1, LOG: 2, NEXT_FILE: 3, LAST_SEQUENCE: 4, DELETED: 6, PREVIOUS_LOG: 9, LEAST_LOG: 10, NEW: 103 },
  ...{ FAMILY: 200, ADD: 201, DROP: 202, MOST_FAMILIES: 203, ATOMIC: 300, IGNORED: 1 << 13 },
} as const;
const COMPARATOR = "leveldb.BytewiseComparator";
/** The end of what is said of a new table. */
const LAST = 1;

/** A table of a state. */
export interface TableFile {
  readonly number: number;
  /** Tables of level 0 may have the same keys; those of each other level are one behind the other. */
  readonly level: number;
  /** The first key, and the last. */
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** The tables by the names of states. */
export type Families = ReadonlyMap<string, readonly TableFile[]>;

function damaged(name: string, message: string): SnapshotError {
  return new SnapshotError("CORRUPT", `${JSON.stringify(name)} is no whole log of RocksDB: ${message}`, { file: name });
}

/** The records of a log, each of which is checked. */
export function* recordsOf(log: Uint8Array, name: string): Generator<Uint8Array, void, undefined> {
  let parts: Uint8Array[] = [];
  for (let start = 0; start < log.length; start += LOG_BLOCK) {
    const block = log.subarray(start, start + LOG_BLOCK);
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    for (let at = 0; at < block.length;) {
      if (block.length - at < RECORD_HEAD) {
        if (start + LOG_BLOCK > log.length) throw damaged(name, "its last record is cut short");
        break;
      }
      const last = at + RECORD_HEAD + view.getUint16(at + 4, true);
      if (last > block.length) throw damaged(name, "a record is cut short");
      if (maskedCrc(block.subarray(at + 6, last)) !== view.getUint32(at, true)) {
        throw damaged(name, "a record does not have its CRC-32C");
      }
      const type = block[at + 6]!;
      const body = block.subarray(at + RECORD_HEAD + (type > 4 ? 4 : 0), last);
      const kind = type > 4 ? type - 4 : type;
      if (kind < 1 || kind > 4 || (kind === 1 || kind === 2) !== (parts.length === 0)) {
        throw damaged(name, "a part of a record is not where it should be");
      }
      parts.push(body);
      if (kind === 1 || kind === 4) {
        yield concat(parts);
        parts = [];
      }
      at = last;
    }
  }
  if (parts.length > 0) throw damaged(name, "its last record is cut short");
}

/** The states, and the tables that each has after all changes. */
export function familiesOf(log: Uint8Array, name: string): Families {
  const names = new Map<number, string>();
  const tables = new Map<number, Map<number, TableFile>>();
  for (const record of recordsOf(log, name)) {
    const cursor = new Cursor(record, name);
    const number = () => Number(cursor.varint());
    const block = () => cursor.bytes(number());
    const text = () => cursor.text(number());
    let family = 0;
    const added: TableFile[] = [];
    const deleted: number[] = [];
    while (cursor.left > 0) {
      const tag = number();
      if (tag === Tag.COMPARATOR) {
        const comparator = text();
        if (comparator !== COMPARATOR) {
          throw new SnapshotError("UNSUPPORTED", `The keys of ${JSON.stringify(name)} are in the order ${comparator}`, {
            file: name,
          });
        }
      } else if (tag === Tag.FAMILY) family = number();
      else if (tag === Tag.ADD) names.set(family, text());
      else if (tag === Tag.DROP) names.delete(family);
      else if (tag === Tag.DELETED) {
        number(); // its level
        deleted.push(number());
      } else if (tag === Tag.NEW) added.push(newTable(cursor));
      else if (tag >= Tag.IGNORED) block();
      else if (KNOWN.has(tag)) number();
      else throw damaged(name, `a change has the tag ${tag}`);
    }
    const own = tables.get(family) ?? tables.set(family, new Map()).get(family)!;
    for (const number of deleted) own.delete(number);
    for (const table of added) own.set(table.number, table);
  }
  return new Map([...names].map(([family, name]) => [name, [...tables.get(family)?.values() ?? []]]));
}

/** Those that have one number. */
const KNOWN: ReadonlySet<number> = new Set([
  ...[Tag.LOG, Tag.NEXT_FILE, Tag.LAST_SEQUENCE, Tag.PREVIOUS_LOG, Tag.LEAST_LOG, Tag.MOST_FAMILIES, Tag.ATOMIC],
]);

function newTable(cursor: Cursor): TableFile {
  const number = () => Number(cursor.varint());
  const key = () => cursor.bytes(number()).slice(0, -8);
  const [level, file] = [number(), number()];
  number(); // its size
  const [first, last] = [key(), key()];
  number(); // the first and the last number of its changes
  number();
  while (number() !== LAST) cursor.bytes(number());
  return { number: file, level, first, last };
}
