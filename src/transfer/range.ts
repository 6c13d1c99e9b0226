/**
 * Byte ranges of RFC 9110, one at a time.
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

/**
 * What a `Range` header asks for.
 *
 * @param header its value
 * @param size the size of the representation
 * @returns the range; `"unsatisfiable"` (416); or nothing if the header is to be ignored, since it is absent, not
 *   understood, or asks for several ranges
 */
export function parseRange(header: string | null, size: number): Range | "unsatisfiable" | undefined {
  const match = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i.exec(header ?? "");
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

/** Whether a list of tags (`If-None-Match`) has this one; weak ones count. */
export function matchesTag(header: string | null, tag: string): boolean {
  return header !== null && header.split(",").some((item) => {
    const trimmed = item.trim();
    return trimmed === "*" || trimmed.replace(/^W\//, "") === tag;
  });
}
