/**
 * Callbacks of others.
 *
 * @module
 */

/**
 * Wraps a callback so that its errors do not reach the caller: the event that it is told of has happened in any case.
 *
 * @param callback of the user
 * @param onError told of what it throws, or of what a promise that it returns rejects with; by default nobody
 */
export function neverThrowing<A extends unknown[]>(
  callback: (...args: A) => unknown,
  onError: (error: unknown) => void = () => {},
): (...args: A) => void {
  return (...args) => {
    try {
      const result = callback(...args);
      if (result instanceof Promise) result.catch(onError); // the callback may be async though its type is not
    } catch (error) {
      onError(error);
    }
  };
}
