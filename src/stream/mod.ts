/**
 * Stages of pipelines over Web Streams. Knows bytes, chunks and digests; knows nothing of snapshots.
 *
 * @module
 */

export { builtinModule } from "./builtin_module.ts";
export * from "./bytes.ts";
export * from "./chunk_map.ts";
export * from "./chunk_set.ts";
export * from "./chunk_sink.ts";
export * from "./chunked.ts";
export * from "./close_sink.ts";
export * from "./content_defined.ts";
export * from "./digest.ts";
export * from "./digest_index.ts";
export { fetchBytes } from "./fetch_bytes.ts";
export * from "./from.ts";
export { listenerOf, plain, toJSON, withJson } from "./json.ts";
export * from "./message.ts";
export * from "./byte_buffer.ts";
export * from "./progress.ts";
export * from "./pump.ts";
export * from "./search.ts";
export * from "./native_crypto.ts";
export * from "./sha256_now.ts";
export * from "./throttle.ts";
export * from "./verified.ts";
