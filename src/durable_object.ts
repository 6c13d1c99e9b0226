/**
 * A replica in a Cloudflare Durable Object: its log in the object's SQL storage, its timer the object's alarm.
 *
 * @module
 */

export * from "./log/durable_object.ts";
export * from "./log/sql_storage.ts";
export * from "./executor/alarm_clock.ts";
export * from "./executor/durable_replica.ts";
