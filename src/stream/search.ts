/**
 * Searching what is in order.
 *
 * @module
 */

/**
 * Returns the last of the numbers below `count` that fits; 0 if none does.
 *
 * @param count how many there are
 * @param fits holds for all numbers up to some one, and for none after it; not asked for 0
 */
export function lastThat(count: number, fits: (i: number) => boolean): number {
  let low = 0;
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
