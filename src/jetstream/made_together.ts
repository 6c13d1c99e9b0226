/**
 * Making a stream that others make at the same time.
 *
 * @module
 */

import { pause } from "../async/mod.ts";
import { isOverlap } from "./errors.ts";

/** The retries while another member makes the same stream, and the wait before the first, in milliseconds. */
const TRIES = 6;
const WAIT = 20;

/**
 * Finds a stream, or makes it. While it comes to be, whoever makes it too is told by some servers that its subjects are
 * those of another one: then it is looked for again.
 *
 * @param make finds or makes it
 * @throws what `make` throws; that subjects overlap only if they do so for seconds: with those of another stream
 */
export async function madeTogether<T>(make: () => Promise<T>): Promise<T> {
  for (let tries = 0;; tries++) {
    try {
      return await make();
    } catch (error) {
      if (!isOverlap(error) || tries === TRIES) throw error;
      await pause(WAIT * 2 ** tries, undefined);
    }
  }
}
