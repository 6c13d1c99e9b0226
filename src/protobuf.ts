/**
 * Values as protobuf messages, by the code that `protoc-gen-es` generates, for those who have `@bufbuild/protobuf`.
 *
 * @module
 */

export * from "./state/codecs/protobuf.ts";
