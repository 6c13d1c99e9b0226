// Entries as bytes, against protobuf's own runtime.

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { decodeEntry, EntryWriter } from "../../src/log/entry_bytes.ts";
import { MAX_INDEX } from "../../src/checks.ts";
import type { LogEntry } from "../../mod.ts";
import { assert, test } from "../support/harness.ts";

/** What protobuf writes of it. */
function reference({ index, term, data, time, configuration }: LogEntry): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int64(index).tag(2, WireType.Varint).int64(term);
  writer.tag(3, WireType.LengthDelimited).bytes(data);
  if (time !== undefined) writer.tag(4, WireType.Varint).int64(BigInt(time));
  if (configuration !== undefined) {
    writer.tag(5, WireType.LengthDelimited).fork();
    for (const peer of configuration.peers) writer.tag(1, WireType.LengthDelimited).string(peer);
    for (const peer of configuration.oldPeers ?? []) writer.tag(2, WireType.LengthDelimited).string(peer);
    if (configuration.oldPeers !== undefined) writer.tag(3, WireType.Varint).bool(true);
    writer.join();
  }
  return writer.finish();
}

test("an entry's bytes are what protobuf writes, and come back as the entry", () => {
  const names = fc.array(fc.string({ unit: "grapheme", maxLength: 9 }), { maxLength: 3 });
  const entries = fc.record({
    index: fc.bigInt(1n, MAX_INDEX),
    term: fc.oneof(fc.bigInt(0n, MAX_INDEX), fc.bigInt(0n, 300n)),
    data: fc.uint8Array({ maxLength: 300 }),
    time: fc.option(fc.nat(8.64e15), { nil: undefined }),
    configuration: fc.option(
      fc.record({ peers: names, oldPeers: fc.option(names, { nil: undefined }) }),
      { nil: undefined },
    ),
  });
  fc.assert(fc.property(entries, (given) => {
    const { time, configuration, ...rest } = given;
    const entry: LogEntry = {
      ...rest,
      ...(time !== undefined && { time }),
      ...(configuration !== undefined && {
        configuration: {
          peers: configuration.peers,
          ...(configuration.oldPeers !== undefined && { oldPeers: configuration.oldPeers }),
        },
      }),
    };
    const bytes = new EntryWriter().alone(entry);
    assert.deepEqual(bytes, reference(entry));
    assert.deepEqual(decodeEntry(bytes), { ...entry, data: Uint8Array.from(entry.data) });
  }));
});
