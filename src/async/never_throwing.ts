/**
 * Callbacks of others.
 *
 * @module
 */

/**
 * A callback whose errors do not reach the caller: what it is told of has happened, whatever it makes of that.
 *
 * @param callback somebody else's
 * @param onError told of what it throws, or of what a promise that it returns rejects with; by default nobody
 */
export function neverThrowing<A extends unknown[]>(
  callback: (...args: A) => unknown,
  onError: (error: unknown) => void = () => {},
): (...args: A) => void {
  return (...args) => {
    try {
      const result = callback(...args);
      if (result instanceof Promise) result.catch(onError); // an async function may stand where none is expected
    } catch (error) {
      onError(error);
    }
  };
}
