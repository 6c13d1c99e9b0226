/**
 * Values as protobuf messages, by the code that `protoc-gen-es` generates, for those who have `@bufbuild/protobuf`.
 *
 * ```ts
 * import { create } from "@bufbuild/protobuf";
 * import { type StringValue, StringValueSchema } from "@bufbuild/protobuf/wkt"; // or a schema of your own
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica } from "@snapstream/snapstream";
 * import { protobufCodec } from "@snapstream/snapstream/protobuf";
 *
 * const machine = new KeyValueMachine(protobufCodec<StringValue>(StringValueSchema));
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * await replica.propose(machine.put("hello", create(StringValueSchema, { value: "world" })));
 * console.assert(machine.get("hello")?.value === "world");
 * await replica.close();
 * ```
 *
 * @module
 */

export * from "./state/codecs/protobuf.ts";
