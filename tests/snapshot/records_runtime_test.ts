import fc from "fast-check";
import { archiveMagic, type ArchiveRecord, decodeRecords, encodeRecord } from "../../src/snapshot/archive/records.ts";
import { concat, equal } from "../../src/stream/mod.ts";
import { assert, gate, noise, pieces, rejects, test, turns } from "../support/harness.ts";

const anything = () => 2 ** 32;

async function decode(stream: ReadableStream<Uint8Array>, limit: (type: number) => number = anything) {
  const records: ArchiveRecord[] = [];
  for await (const record of decodeRecords(stream, limit)) records.push(record);
  return records;
}

function encode(records: readonly ArchiveRecord[]): Uint8Array {
  return concat([archiveMagic(), ...records.flatMap(({ type, payload }) => [...encodeRecord(type, payload)])]);
}

const record = fc.record({ type: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 60 }) });

test("records: round trip, whatever pieces they come in", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 10 }), fc.integer({ min: 1, max: 80 }), async (records, piece) => {
      assert.deepEqual(await decode(pieces(encode(records), piece)), records);
    }),
  );
});

test("records: memory that is given back is used for later ones, and nothing else is", async () => {
  const sent = [20_000, 20_000, 30_000, 12, 20_000].map((length, i) => ({ type: i, payload: noise(length, i) }));
  const free: Uint8Array[] = [];
  const memory: ArrayBufferLike[] = [];
  let i = 0;
  for await (const record of decodeRecords(pieces(encode(sent), 700), anything, undefined, undefined, free)) {
    assert.deepEqual(record.payload, sent[i++]!.payload);
    assert.strictEqual(record.isAlone ?? false, record.payload.length > 12);
    memory.push(record.payload.buffer);
    if (record.isAlone === true) free.push(record.payload);
  }
  assert.strictEqual(memory[1], memory[0]);
  assert.notStrictEqual(memory[2], memory[1]); // it did not fit
  assert.strictEqual(memory[4], memory[2]);
  // What lies in one piece is not copied, and the piece is not only the record's.
  for await (const { isAlone } of decodeRecords(pieces(encode(sent)), anything)) assert.isUndefined(isAlone);
});

test("records: a payload of several parts, and one of none", () => {
  const parts = [...encodeRecord(3, Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3))];
  assert.deepEqual(concat(parts), Uint8Array.of(3, 0, 0, 0, 3, 1, 2, 3));
  assert.isTrue(parts.every(({ length }) => length > 0));
  assert.deepEqual(concat([...encodeRecord(4)]), Uint8Array.of(4, 0, 0, 0, 0));
});

test("records: cut short at every length", async () => {
  const whole = encode([{ type: 1, payload: noise(10, 1) }, { type: 2, payload: noise(3, 2) }]);
  const ends = new Set([9, 9 + 15, whole.length]); // between records: that the end is missing nobody here can know
  for (let length = 0; length < whole.length; length++) {
    if (ends.has(length)) continue;
    await rejects(decode(pieces(whole.slice(0, length), 4)), length === 0 ? "MALFORMED" : "CORRUPT");
  }
});

test("records: another beginning, another version", async () => {
  const whole = encode([]);
  for (let i = 0; i < 8; i++) {
    const other = whole.slice();
    other[i]! ^= 0x20;
    await rejects(decode(pieces(other)), "MALFORMED");
  }
  whole[8] = 2;
  await rejects(decode(pieces(whole)), "UNSUPPORTED");
});

test("records: a length over the limit is refused before anything of it is read", async () => {
  let pulled = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(pulled === 1 ? concat([archiveMagic(), Uint8Array.of(3, 255, 255, 255, 255)]) : noise(10, 1));
    },
  }, { highWaterMark: 0 });
  const error = await rejects(decode(source, (type) => type === 3 ? 1000 : -1), "MALFORMED");
  assert.strictEqual(error.actual, 2 ** 32 - 1);
  assert.strictEqual(pulled, 1);
  await rejects(decode(pieces(encode([{ type: 9, payload: new Uint8Array(0) }])), () => -1), "MALFORMED");
});

test("records: a length that is allowed, of which nothing comes, costs nothing", async () => {
  const head = concat([archiveMagic(), Uint8Array.of(3, 255, 255, 255, 255)]);
  const error = await rejects(decode(pieces(concat([head, noise(100, 1)]))), "CORRUPT");
  assert.match(error.message, /cut short/);
});

test("records: a large record in tiny pieces", async () => {
  const payload = noise(1_500_000, 1);
  const [record] = await decode(pieces(encode([{ type: 1, payload }]), 30));
  assert.isTrue(equal(record!.payload, payload));
});

test("records: the source's error comes through as it is", async () => {
  const error = new Error("reset");
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(archiveMagic()),
    pull: (controller) => controller.error(error),
  });
  assert.strictEqual(await decode(source).catch((thrown) => thrown), error);
});

test("records: a signal ends a stalled read, and the source is cancelled", async () => {
  for (const first of [[], [archiveMagic()], [archiveMagic(), Uint8Array.of(1, 0, 0, 0, 9, 7)]]) {
    const cancelled = gate<unknown>();
    const source = new ReadableStream<Uint8Array>({
      start: (controller) => first.forEach((piece) => controller.enqueue(piece)),
      cancel: (reason) => cancelled.open(reason),
    });
    const stop = new AbortController();
    const next = decodeRecords(source, anything, stop.signal).next();
    await turns(1);
    stop.abort("enough");
    await rejects(next, "CANCELLED");
    assert.strictEqual(await cancelled.promise, "enough");
  }
});

test("records: a source that cannot even be cancelled is left behind", async () => {
  const source = ReadableStream.from((async function* () {
    yield archiveMagic();
    await new Promise(() => {}); // a generator that waits here cannot be ended
  })());
  const stop = new AbortController();
  const next = decodeRecords(source, anything, stop.signal).next();
  await turns(1);
  stop.abort();
  await rejects(next, "CANCELLED");
});

test("records: who stops early cancels the source", async () => {
  const cancelled = gate<unknown>();
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encode([{ type: 1, payload: noise(1, 1) }])),
    cancel: (reason) => cancelled.open(reason),
  });
  for await (const { type } of decodeRecords(source, anything)) {
    assert.strictEqual(type, 1);
    break;
  }
  await cancelled.promise;
});
