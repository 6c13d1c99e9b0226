/**
 * What is snapshotted: the contract of a state machine, and state that can be saved while it changes.
 *
 * @module
 */

export type { Block, Decoders } from "./block.ts";
export type { IncrementalOptions } from "./chain.ts";
export * from "./cbor_codec.ts";
export * from "./codec.ts";
export * from "./command_codec.ts";
export * from "./cow_map.ts";
export type { Change, Engine, EngineView, Pair, Readable } from "./engine.ts";
export * from "./key_codec.ts";
export * from "./key_groups.ts";
export * from "./key_value.ts";
export * from "./keyed_state.ts";
export * from "./machine.ts";
export type * from "./state_types.ts";
export * from "./protobuf_codec.ts";
export * from "./stored_state.ts";
