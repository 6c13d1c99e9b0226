/**
 * Byte ranges and tags of RFC 9110.
 *
 * @module
 */

/** A part of a representation. */
export interface Range {
  /** The first byte. */
  readonly start: number;
  /** The byte before which it ends. */
  readonly end: number;
}

/** The most ranges in one request: more are an attack, or a mistake. */
const MAX_RANGES = 64;

/**
 * Parses a `Range` header.
 *
 * @param header its value
 * @param size the size of the representation
 * @returns the ranges; `"unsatisfiable"` (416); or nothing if the header is to be ignored (RFC 9110 §14.2), since it is
 *   absent, not understood, or asks for too many ranges, or for more than the whole
 */
export function parseRanges(header: string | null, size: number): readonly Range[] | "unsatisfiable" | undefined {
  const list = /^bytes=(.*)$/i.exec(header ?? "")?.[1]?.split(",");
  if (list === undefined || list.length > MAX_RANGES) return undefined;
  const ranges: Range[] = [];
  const items = list.map((item) => item.trim()).filter((item) => item !== ""); // a list may have holes: RFC 9110 §5.6.1
  if (items.length === 0) return undefined;
  for (const item of items) {
    const range = parseRange(item, size);
    if (range === undefined) return undefined;
    if (range !== "unsatisfiable") ranges.push(range);
  }
  if (ranges.length === 0) return "unsatisfiable";
  return ranges.length === 1 || total(ranges) <= size ? coalesced(ranges) : undefined;
}

/** Joins each range that begins within the one before it: of one chunk, every range would read and hash all. */
function coalesced(ranges: readonly Range[]): readonly Range[] {
  const joined: Range[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last === undefined || range.start < last.start || range.start >= last.end) joined.push(range);
    else joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
  }
  return joined;
}

function parseRange(item: string, size: number): Range | "unsatisfiable" | undefined {
  const match = /^([0-9]*)-([0-9]*)$/.exec(item);
  if (match === null) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === "") {
    if (last === "") return undefined;
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? "unsatisfiable" : { start: size - suffix, end: size };
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end };
}

/** The number of bytes that ranges have in all. */
export function total(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/**
 * Reports whether a list of tags has this one.
 *
 * @param header the value of `If-None-Match` or `If-Match`
 * @param tag a strong tag
 * @param weak whether weak ones count, as they do for `If-None-Match` only
 */
export function matchesTag(header: string | null, tag: string, weak = true): boolean {
  return header !== null && header.split(",").some((item) => {
    const trimmed = item.trim();
    return trimmed === "*" || (weak ? trimmed.replace(/^W\//, "") : trimmed) === tag;
  });
}
