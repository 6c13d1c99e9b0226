/**
 * Logs, and their contract.
 *
 * @module
 */

export { checkFollows, type LogStorage } from "./log.ts";
export { MemoryLog } from "./memory.ts";
export type { LogProposeOptions, SharedLog } from "./shared.ts";
