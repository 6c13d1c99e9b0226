/**
 * What reads values that a Java program wrote.
 *
 * @module
 */

import type { JavaCursor } from "./java.ts";

/** What reads values. */
export interface Serializer {
  /** What it reads, for a person: `String`, `List<Long>`. */
  readonly name: string;
  /** Reads a value; of a serializer that is not known there is none. */
  readonly read?: (cursor: JavaCursor) => unknown;
  /** Java's `hashCode` of a value that was read, where that is the same in every process. */
  readonly hash?: (value: unknown) => number | undefined;
  /** Bytes of each value, if all have as many. */
  readonly length?: number;
  /** The serializers of its parts. */
  readonly parts: readonly Serializer[];
}
