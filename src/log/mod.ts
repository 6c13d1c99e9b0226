/**
 * Logs, and their contract.
 *
 * @module
 */

export * from "./log.ts";
export * from "./sql.ts";
export * from "./sql_rows.ts";
export * from "./log_reader.ts";
export { MemoryLog } from "./memory.ts";
export * from "./records.ts";
export type * from "./served.ts";
export type { LogProposeOptions, SharedLog } from "./shared.ts";
