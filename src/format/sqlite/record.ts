/**
 * Rows of SQLite: a header of types, and the columns.
 *
 * @module
 */

/** A column. */
export type SqliteValue = null | bigint | number | string | Uint8Array;

/** A number of up to nine bytes, and where it ends; nothing if it is cut off. */
export function varint(bytes: Uint8Array, at: number): { readonly value: bigint; readonly end: number } | undefined {
  let value = 0n;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    if (i === 8) return { value: BigInt.asIntN(64, value << 8n | BigInt(byte)), end: at + 9 };
    value = value << 7n | BigInt(byte & 0x7f);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

/** The columns of a row; nothing if it does not fit together. */
export function parseRecord(record: Uint8Array, encoding: string): SqliteValue[] | undefined {
  const header = varint(record, 0);
  if (header === undefined || header.value > BigInt(record.length)) return undefined;
  const columns: SqliteValue[] = [];
  let at = Number(header.value);
  for (let next = header.end; next < Number(header.value);) {
    const type = varint(record, next);
    if (type === undefined || type.value < 0n || type.value > 0x7fff_ffffn) return undefined;
    next = type.end;
    const kind = Number(type.value);
    const size = sizeOf(kind);
    if (size === undefined || at + size > record.length) return undefined;
    columns.push(column(kind, record.subarray(at, at + size), encoding));
    at += size;
  }
  return at === record.length ? columns : undefined;
}

/** The bytes of a column of a type; nothing for a type that there is not. */
function sizeOf(kind: number): number | undefined {
  return kind >= 12 ? (kind - 12) >> 1 : [0, 1, 2, 3, 4, 6, 8, 8, 0, 0][kind];
}

function column(kind: number, bytes: Uint8Array, encoding: string): SqliteValue {
  if (kind === 0) return null;
  if (kind === 8 || kind === 9) return BigInt(kind - 8);
  if (kind === 7) return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0);
  if (kind < 7) {
    return BigInt.asIntN(bytes.length * 8, bytes.reduce((sum, byte) => sum << 8n | BigInt(byte), 0n));
  }
  return kind % 2 === 0 ? bytes.slice() : new TextDecoder(encoding, { ignoreBOM: true }).decode(bytes);
}
