/**
 * Stages of pipelines over Web Streams. Knows bytes, chunks and digests; knows nothing of snapshots.
 *
 * @module
 */

export * from "./bytes.ts";
export * from "./chunk_map.ts";
export * from "./chunk_set.ts";
export * from "./chunk_sink.ts";
export * from "./chunked.ts";
export * from "./content_defined.ts";
export * from "./digest.ts";
export * from "./digest_index.ts";
export * from "./from.ts";
export * from "./gather.ts";
export * from "./in_flight.ts";
export * from "./never_throwing.ts";
export * from "./operation.ts";
export * from "./pause.ts";
export * from "./progress.ts";
export * from "./pump.ts";
export * from "./race_abort.ts";
export * from "./records.ts";
export * from "./throttle.ts";
export * from "./verified.ts";
export * from "./yield.ts";
