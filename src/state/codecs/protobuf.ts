/**
 * Values as protobuf messages.
 *
 * @module
 */

import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { checkOptions, checkString, oneOf, required } from "../../checks.ts";
import { messageOf, SnapshotError } from "../../errors.ts";
import type { Codec } from "./codec.ts";

/**
 * The schema of a message, as `protoc-gen-es` generates it.
 *
 * @category State
 * @see {@linkcode protobufCodec}
 */
export interface ProtobufSchema {
  /** The kind of thing that the schema describes. */
  readonly kind: "message";
  /** The name of the message, with its package. */
  readonly typeName: string;
}

/**
 * Messages of one type, by their generated schema (`protoc-gen-es`). Changes that protobuf itself allows need no new
 * version: unknown fields are kept.
 *
 * @category State
 * @typeParam M the message, as generated
 * @param schema as generated
 *
 * @example
 * ```ts
 * import { StringValueSchema } from "@bufbuild/protobuf/wkt";
 * import { KeyValueMachine } from "@snapstream/snapstream";
 * import { protobufCodec } from "@snapstream/snapstream/protobuf";
 *
 * const machine = new KeyValueMachine(protobufCodec(StringValueSchema)); // or a schema of your own
 * console.assert(machine.size === 0);
 * ```
 */
export function protobufCodec<M>(schema: ProtobufSchema): Codec<M> {
  checkOptions(schema, { kind: required(oneOf("message")), typeName: required(checkString) }, "schema");
  const type = schema as DescMessage;
  return {
    name: `protobuf:${schema.typeName}`,
    encode(message) {
      try {
        return toBinary(type, message as Message);
      } catch (error) {
        throw new SnapshotError("MALFORMED", `${schema.typeName} cannot hold a value: ${messageOf(error)}`, {
          cause: error,
        });
      }
    },
    decode(bytes) {
      try {
        return fromBinary(type, bytes.slice()) as M; // copied: its byte fields would be views of the lent bytes
      } catch (error) {
        throw new SnapshotError("MALFORMED", `A value is not a ${schema.typeName}: ${messageOf(error)}`, {
          cause: error,
        });
      }
    },
  };
}
