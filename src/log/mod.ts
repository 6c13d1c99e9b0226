/**
 * Logs, and their contract.
 *
 * @module
 */

export * from "./log.ts";
export * from "./sql.ts";
export * from "./sql_rows.ts";
export { MemoryLog } from "./memory.ts";
export type { LogProposeOptions, SharedLog } from "./shared.ts";
