// Values and commands: bytes that codecs, keys and a key-value machine are given.

import {
  bytesCodec,
  type Codec,
  intKeys,
  jsonCodec,
  KeyValueMachine,
  longKeys,
  stringKeys,
  utf8Codec,
  versioned,
} from "../../../mod.ts";
import { cborCodec } from "../../../src/cbor.ts";
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

/** The bytes that say what wrote a command: format, length, `utf-8`, version. */
const HEADER = 8;

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
  codes: ["MALFORMED", "UNSUPPORTED"],
  prepare() {
    const upper = (bytes: Uint8Array) => utf8Codec().decode(bytes).toUpperCase();
    const make = () => new KeyValueMachine(versioned(utf8Codec(), 1, upper));
    const [older, machine] = [new KeyValueMachine(utf8Codec()), make()];
    const seeds = [older, machine].flatMap((it) => [
      it.put("key", "value"),
      it.put("", ""),
      it.delete("key"),
      it.put("é", "é"),
      it.put("k".repeat(200), "v"),
    ]);
    return (random) => {
      const data = mutate(random.pick(seeds), random, seeds);
      const machine = make();
      machine.validate(data);
      machine.apply({ index: 1n, term: 1n, data });
      const isOld = data[HEADER - 1] === 0;
      const start = data[HEADER + 1]! < 0x80 ? HEADER + 2 : HEADER + 3; // for keys of less than 16 KiB
      const [[key, value] = []] = machine.entries();
      law(machine.size === (data[HEADER] === 1 ? 1 : 0), "a put puts, and nothing else does");
      const writer = isOld ? older : machine;
      if (key === undefined) {
        const deleted = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data.subarray(start));
        return law(equal(writer.delete(deleted), data), "a deletion has one encoding");
      }
      const put = writer.put(
        key,
        isOld ? utf8Codec().decode(data.subarray(start + utf8Codec().encode(key).length)) : value!,
      );
      law(equal(put, data), "a command has one encoding");
      law(!isOld || value === value!.toUpperCase(), "what an older version wrote is migrated");
    };
  },
};
