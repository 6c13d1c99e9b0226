// Values and commands: bytes that codecs, keys and a key-value machine are given.

import {
  bytesCodec,
  cborCodec,
  type Codec,
  intKeys,
  jsonCodec,
  KeyValueMachine,
  longKeys,
  stringKeys,
  utf8Codec,
} from "../../../mod.ts";
import { equal } from "../../../src/stream/mod.ts";
import { mutate } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";

const VALUES: readonly unknown[] = [
  ...[null, true, "", "text", "é😀", 0, -1, 1.5, 2 ** 53 - 1, [], {}, [1, [2, [3]]], { a: { b: "c" }, d: [null] }],
];
const CBOR: readonly unknown[] = [
  ...VALUES,
  ...[undefined, NaN, -0, Infinity, 2n ** 64n, -(2n ** 70n), 0n, new Uint8Array(3), [undefined, { x: 1n }]],
];

// deno-lint-ignore no-explicit-any -- codecs of different types
const CODECS: readonly (readonly [Codec<any>, readonly unknown[]])[] = [
  [bytesCodec(), [new Uint8Array(0), new Uint8Array(9)]],
  [utf8Codec(), VALUES.filter((value) => typeof value === "string")],
  [jsonCodec(), VALUES],
  [cborCodec(), CBOR],
  [cborCodec(), CBOR],
  [stringKeys(), ["", "a", "é😀"]],
  [intKeys(), [0, -1, 2 ** 31 - 1]],
  [longKeys(), [0n, -1n, 2n ** 63n - 1n]],
];

export const codecs: Target = {
  name: "codecs",
  share: 60,
  codes: ["MALFORMED"],
  prepare() {
    const samples = CODECS.map(([codec, values]) => values.map((value) => codec.encode(value)));
    return async (random) => {
      const which = random.below(CODECS.length);
      const [codec] = CODECS[which]!;
      const bytes = mutate(random.pick(samples[which]!), random, samples[which]!);
      const before = bytes.slice();
      const value = codec.decode(bytes);
      const again = await must(`${codec.name} has read it`, () => codec.encode(value));
      const third = await must(`${codec.name} has written it`, () => codec.encode(codec.decode(again)));
      law(equal(again, third), `what ${codec.name} has read comes back as it was`);
      law(equal(bytes, before), `${codec.name} changes nothing of what is lent`);
      if (codec.name !== "json" && codec.name !== "cbor") law(equal(again, bytes), `${codec.name} has one encoding`);
    };
  },
};

export const commands: Target = {
  name: "commands",
  share: 60,
  codes: ["MALFORMED"],
  prepare() {
    const machine = new KeyValueMachine(utf8Codec());
    const seeds = [machine.put("key", "value"), machine.put("", ""), machine.delete("key"), machine.put("é", "é")];
    return (random) => {
      const data = mutate(random.pick(seeds), random, seeds);
      const machine = new KeyValueMachine(utf8Codec());
      machine.validate(data);
      machine.apply({ index: 1n, term: 1n, data });
      const [[key, value] = []] = machine.entries();
      law(machine.size === (data[0] === 1 ? 1 : 0), "a put puts, and nothing else does");
      const deleted = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data.subarray(5));
      law(data[0] === 1 || equal(machine.delete(deleted), data), "a deletion has one encoding");
      law(key === undefined || equal(machine.put(key, value!), data), "a command has one encoding");
    };
  },
};
