/**
 * Checks a snapshot before its commit.
 *
 * @module
 */

import { hasCode } from "../errors.ts";
import type { CheckOptions } from "../snapshot/mod.ts";
import type { PlacedSnapshot } from "./medium.ts";
import { StoredReader } from "./reader.ts";

/** One commit's check: see {@linkcode CheckOptions}. */
export class Trial {
  readonly #check: CheckOptions["check"];
  /** True once the check refused the snapshot itself: an attempt with the same bytes would fail too. */
  isFinal = false;

  /** @param options of the commit */
  constructor({ check }: CheckOptions) {
    this.#check = check;
  }

  /**
   * Runs the check on the snapshot in its place. Resolves at once if the commit has no check.
   *
   * @throws whatever the check throws
   */
  async run(placed: PlacedSnapshot): Promise<void> {
    if (this.#check === undefined) return;
    let isDamagedHere = false; // if so, only some chunks have to come again
    const reader = new StoredReader(placed, {
      found: () => isDamagedHere = true,
      unreadable: () => {},
      released: () => {},
    });
    try {
      await this.#check(reader);
    } catch (error) {
      this.isFinal = !isDamagedHere && hasCode(error, "MALFORMED", "UNSUPPORTED", "CORRUPT");
      throw error;
    } finally {
      await reader.close();
    }
  }
}
