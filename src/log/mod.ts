/**
 * Logs, and their contract.
 *
 * @module
 */

export type { LogStorage } from "./log.ts";
export { MemoryLog } from "./memory.ts";
