/**
 * Values as protobuf messages.
 *
 * @module
 */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { messageOf, SnapshotError } from "../errors.ts";
import type { Codec } from "./codec.ts";

/**
 * Messages of one type, by their generated schema (`protoc-gen-es`). What protobuf itself allows to change may change
 * without a new version: fields that are not known are kept.
 *
 * @typeParam D the schema
 * @param schema as generated
 */
export function protobufCodec<D extends DescMessage>(schema: D): Codec<MessageShape<D>> {
  return {
    name: `protobuf:${schema.typeName}`,
    encode(message) {
      try {
        return toBinary(schema, message);
      } catch (error) {
        throw new SnapshotError("MALFORMED", `${schema.typeName} cannot hold a value: ${messageOf(error)}`, {
          cause: error,
        });
      }
    },
    decode(bytes) {
      try {
        return fromBinary(schema, bytes.slice()); // bytes in it would be a part of what is only lent
      } catch (error) {
        throw new SnapshotError("MALFORMED", `A value is not a ${schema.typeName}: ${messageOf(error)}`, {
          cause: error,
        });
      }
    },
  };
}
