/**
 * Giving others a turn.
 *
 * @module
 */

/**
 * Lets the event loop do what is waiting: timers, files, sockets. A promise that is already settled does not: a log that
 * writes at once, as SQLite does, and a busy caller would keep it from ever coming round.
 */
export function yieldTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  return new Promise((resolve) => setImmediate === undefined ? setTimeout(resolve, 0) : setImmediate(resolve));
}
