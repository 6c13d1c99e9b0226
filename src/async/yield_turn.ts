/**
 * Giving others a turn.
 *
 * @module
 */

/**
 * Lets the event loop handle timers, files and sockets. Awaiting a settled promise does not: a busy caller of a log
 * that writes synchronously, as SQLite does, would starve them.
 */
export function yieldTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  return new Promise((resolve) => setImmediate === undefined ? setTimeout(resolve, 0) : setImmediate(resolve));
}
