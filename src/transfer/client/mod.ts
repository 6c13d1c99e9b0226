/**
 * Fetching, sending, and reading snapshots from another node.
 *
 * @module
 */

export { ExchangeWatch } from "./exchange_watch.ts";
export * from "./inquiry.ts";
export { type FollowerName, LogPurged, type LogRequest, LogSource } from "./log_source.ts";
export * from "./notify.ts";
export * from "./pull.ts";
export * from "./push.ts";
export * from "./remote.ts";
export { checkSource, type Source, type SourceOptions, sourceOptions } from "./source.ts";
