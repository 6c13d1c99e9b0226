/**
 * The contract of a state machine, and state that can be saved while it changes.
 *
 * @module
 */

export * from "./bytes_machine.ts";
export * from "./codecs/mod.ts";
export * from "./database/mod.ts";
export * from "./entry.ts";
export type { IncrementalOptions } from "./format/mod.ts";
export * from "./key_groups.ts";
export * from "./key_value.ts";
export * from "./machine.ts";
export * from "./memory/mod.ts";
export * from "./save_restore.ts";
export { asReplica } from "./replica_call.ts";
export type * from "./state_types.ts";
export * from "./commands.ts";
export type { KeyedStateOptions } from "./options.ts";
