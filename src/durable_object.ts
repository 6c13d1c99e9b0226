/**
 * A replica in a Cloudflare Durable Object: its log in the object's SQL storage, its timer the object's alarm.
 *
 * @module
 */

export * from "./durable_object/log.ts";
export * from "./durable_object/sql_storage.ts";
export * from "./durable_object/alarm_clock.ts";
export * from "./durable_object/durable_replica.ts";
