/**
 * The depth of a value, and the numbers in it.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";

/**
 * The most arrays and objects that may be within each other. JavaScript engines read JSON of any depth, but write it
 * only as deep as their stack allows: a value that was read could fail each save. This depth works on every engine.
 */
export const MAX_NESTING = 512;

/**
 * Checks the depth and the numbers of a value without circles.
 *
 * @param numbers whether they have to be finite
 * @throws {SnapshotError} `MALFORMED` if it goes too deep, or has a number that is not finite
 */
export function checkNesting(value: unknown, numbers: "any" | "finite", levels: number = MAX_NESTING): void {
  if (typeof value === "number" && numbers === "finite" && !Number.isFinite(value)) {
    throw new SnapshotError("MALFORMED", "JSON cannot hold NaN or an infinity, and would make null of it");
  }
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (levels === 0) {
    throw new SnapshotError("MALFORMED", `A value has more than ${MAX_NESTING} arrays and objects within each other`);
  }
  if (numbers === "finite" && "toJSON" in value && typeof value.toJSON === "function") {
    return checkNesting(value.toJSON(""), numbers, levels - 1);
  }
  for (const inner of Array.isArray(value) ? value : Object.values(value)) checkNesting(inner, numbers, levels - 1);
}
