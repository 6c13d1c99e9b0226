// HashiCorp raft's stores and archives, written by the real programs.

import { archive, MemoryStorage, unarchive } from "../../mod.ts";
import { detectFormat, listFormat, openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { PieceReader } from "../../src/format/bytes/piece_reader.ts";
import { encodeTarHeader, nextEntry, paddingOf } from "../../src/format/hashicorp/tar.ts";
import { sha256, toHex } from "../../src/stream/mod.ts";
import {
  type Contents,
  cutsThatPass,
  filesOf,
  fixture,
  FIXTURES,
  flipsThatPass,
  isFoundBad,
  readAll,
  verified,
} from "../support/format_files.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";

const SMALL = "3-10-1795289823797";

test("formats, hashicorp: a store is detected at each of its levels", async () => {
  for (const path of ["", "/snapshots", `/snapshots/${SMALL}`]) {
    const files = await sourceFiles(`${FIXTURES}/hashicorp/small${path}`);
    assert.deepInclude(await detectFormat(files), { system: "hashicorp", sure: "certain" });
    const reader = await openFormat(files);
    const { lastIncludedIndex, lastIncludedTerm, peers, createdAt } = reader.meta;
    assert.deepEqual([lastIncludedIndex, lastIncludedTerm], [10n, 3n]);
    assert.deepEqual(peers, ["127.0.0.1:8300", "127.0.0.1:8301"]);
    assert.strictEqual(createdAt, 1795289823797);
    assert.deepInclude(reader.details, { id: SMALL, configurationIndex: 2n });
    assert.deepEqual((reader.details.servers as unknown[])[2], {
      suffrage: "nonvoter",
      id: "node3",
      address: "127.0.0.1:8302",
    });
    assert.strictEqual((await bytesOf(reader.file("state.bin"))).length, 27);
    const { ok, checked, unchecked } = await reader.verify().result;
    assert.isTrue(ok);
    assert.lengthOf(checked, 1);
    assert.lengthOf(unchecked, 1);
    await reader.close();
  }
});

test("formats, hashicorp: the newest comes first, by term, then by index; one being written is passed over", async () => {
  const multi = await sourceFiles(`${FIXTURES}/hashicorp/multi`);
  assert.deepEqual((await listFormat(multi)).map(({ index }) => index), [400n, 300n, 200n]);
  const older = await openFormat(multi, { index: 200n });
  assert.strictEqual(older.meta.lastIncludedIndex, 200n);
  assert.isTrue((await older.verify().result).ok);
  await rejects(openFormat(multi, { index: 201n }), "NOT_FOUND");
  const crashed = await sourceFiles(`${FIXTURES}/hashicorp/tmpdir`);
  assert.deepEqual((await listFormat(crashed)).map(({ index }) => index), [50n]);
  assert.isTrue((await verified(await sourceFiles(`${FIXTURES}/hashicorp/empty`))).ok);
});

test("formats, hashicorp: numbers of 64 bits stay what they are, and the ID is no path", async () => {
  const meta = (members: string) => new TextEncoder().encode(`{"Version":1,"Size":0,"CRC":"AAAAAAAAAAA=",${members}}`);
  const of = (members: string, name = "1-1-1") =>
    openFormat(
      filesOf({ [`${name}/meta.json`]: meta(members), [`${name}/state.bin`]: new Uint8Array(0) }, "snapshots"),
    );
  const big = await of('"ID":"1-1-1","Index":9007199254740993,"Term":9223372036854775807');
  assert.deepEqual([big.meta.lastIncludedIndex, big.meta.lastIncludedTerm], [9007199254740993n, 2n ** 63n - 1n]);
  await rejects(of('"ID":"1-1-1","Index":18446744073709551615,"Term":1'), "MALFORMED");
  await rejects(of('"ID":"1-1-1","Index":"9007199254740993","Term":1'), "MALFORMED");
  await rejects(of('"ID":"../../etc","Index":1,"Term":1'), "MALFORMED");
  await rejects(of('"ID":"1-1-1","Index":0,"Term":1'), "MALFORMED");
  await rejects(
    openFormat(
      filesOf({ "meta.json": new TextEncoder().encode('{"Version":2}'), "state.bin": new Uint8Array(0) }, "s"),
    ),
    "UNSUPPORTED",
  );
  const legacy = await of('"ID":"1-1-1","Index":1,"Term":1,"Peers":"kq4xMjcuMC4wLjE6ODMwMK4xMjcuMC4wLjE6ODMwMQ=="');
  assert.deepEqual(legacy.meta.peers, ["127.0.0.1:8300", "127.0.0.1:8301"]);
});

test("formats, hashicorp: every change of the state is found, and each length that it is cut to", async () => {
  const contents = fixture(`hashicorp/small/snapshots/${SMALL}`) as Record<string, Uint8Array>;
  assert.deepEqual(await flipsThatPass(contents, "state.bin", SMALL), []);
  assert.deepEqual(await cutsThatPass(contents, "state.bin", SMALL), []);
  // All but the line feed at its end.
  assert.deepEqual(await cutsThatPass(contents, "meta.json", SMALL), [contents["meta.json"]!.length - 1]);
  const changed = { ...contents, "state.bin": contents["state.bin"]!.map((byte, i) => i === 3 ? byte ^ 1 : byte) };
  const reader = await openFormat(filesOf(changed, SMALL));
  await rejects(bytesOf(reader.file("state.bin")), "CORRUPT");
});

test("formats, consul: the archive of the real program", async () => {
  const files = await sourceFiles(`${FIXTURES}/consul/small.snap`);
  assert.deepInclude(await detectFormat(files), { system: "consul", sure: "certain" });
  const reader = await openFormat(files);
  assert.deepEqual([reader.meta.lastIncludedIndex, reader.meta.lastIncludedTerm], [9n, 2n]);
  assert.deepEqual(reader.meta.peers, ["127.0.0.1:8300"]);
  const state = await bytesOf(reader.file("state.bin"));
  assert.strictEqual(state.length, 1000);
  assert.deepEqual(await bytesOf(reader.file("state.bin", { start: 100, end: 200 })), state.slice(100, 200));
  assert.isTrue((await reader.verify().result).ok);
  await rejects(openFormat(files, { index: 8n }), "NOT_FOUND");
  await reader.close();
  await rejects(bytesOf(reader.file("state.bin")), "CLOSED");
});

test("formats, consul: every change of the content is found, and each length that it is cut to", async () => {
  const contents = fixture("consul/small.snap") as Uint8Array<ArrayBuffer>;
  const unpacked = (bytes: Uint8Array<ArrayBuffer>) =>
    bytesOf(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  const content = await unpacked(contents);
  // The header of gzip, and bits of deflate that mean nothing.
  for (const at of await flipsThatPass(contents, undefined, "small.snap")) {
    const changed = contents.slice();
    changed[at]! ^= 1 << at % 8;
    assert.deepEqual(await unpacked(changed), content, `byte ${at}`);
  }
  assert.deepEqual(await cutsThatPass(contents, undefined, "small.snap"), []);
  const longer = new Uint8Array([...contents as Uint8Array, 0]);
  assert.isTrue(await isFoundBad(filesOf(longer, "longer.snap")));
});

test("formats, consul: what is packed right and does not fit together is refused", async () => {
  const encoder = new TextEncoder();
  const hex = async (bytes: Uint8Array) => toHex(await sha256(bytes));
  const pack = async (...entries: [name: string, content: Uint8Array][]) => {
    const parts = entries.flatMap(([name, content]) => [
      encodeTarHeader(name, content.length, 0),
      content,
      new Uint8Array(paddingOf(content.length)),
    ]);
    const tar = new Blob([...parts, new Uint8Array(1024)] as Uint8Array<ArrayBuffer>[]);
    return await bytesOf(tar.stream().pipeThrough(new CompressionStream("gzip")));
  };
  const meta = encoder.encode('{"Version":1,"ID":"2-9-1","Index":9,"Term":2,"Size":5}');
  const state = encoder.encode("state");
  const sums = encoder.encode(`${await hex(state)}  state.bin\n${await hex(meta)}  meta.json\n`);
  const ok = async (archive: Uint8Array) => (await verified(filesOf(archive, "a.snap"))).ok;
  assert.isTrue(await ok(await pack(["meta.json", meta], ["state.bin", state], ["SHA256SUMS", sums])));
  assert.isTrue(await ok(await pack(["state.bin", state], ["SHA256SUMS", sums], ["meta.json", meta])), "in any order");
  assert.isFalse(
    await ok(await pack(["meta.json", meta], ["state.bin", encoder.encode("other")], ["SHA256SUMS", sums])),
  );
  assert.isFalse(await ok(await pack(["meta.json", meta], ["state.bin", state])), "without digests");
  assert.isFalse(await ok(await pack(["meta.json", meta], ["state.bin", state], ["SHA256SUMS", sums], ["x", state])));
  const less = encoder.encode(`${await hex(meta)}  meta.json\n`);
  assert.isFalse(await ok(await pack(["meta.json", meta], ["state.bin", state], ["SHA256SUMS", less])));
});

test("formats, consul: the size of a state of 8 GiB or more stands before its header, as Go writes it", async () => {
  const whole = await openFormat(await sourceFiles(`${FIXTURES}/consul/large-head.snap`)); // of Go's archive/tar, cut
  assert.strictEqual(await whole.size("state.bin"), 9 * 2 ** 30);
  assert.include((await whole.verify().result).bad[0]?.message, "cut short");
  await whole.close();
  const encoder = new TextEncoder();
  const header = (name: string, size: number, type?: string) => {
    const bytes = encodeTarHeader(name, size, 0);
    if (type === undefined) return bytes;
    bytes[156] = type.charCodeAt(0);
    bytes.set(encoder.encode("        "), 148);
    bytes.set(encoder.encode(`${bytes.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `), 148);
    return bytes;
  };
  const pack = async (said: string, type = "x") => {
    const meta = encoder.encode('{"Version":1,"ID":"2-9-1","Index":9,"Term":2,"Size":5}');
    const state = encoder.encode("state");
    const sums = encoder.encode(`${toHex(await sha256(state))}  state.bin\n${toHex(await sha256(meta))}  meta.json\n`);
    const padded = (bytes: Uint8Array) => [bytes, new Uint8Array(paddingOf(bytes.length))];
    const parts = [
      ...[header("meta.json", meta.length), ...padded(meta)],
      ...[header("PaxHeaders.0/state.bin", said.length, type), ...padded(encoder.encode(said))],
      ...[header("state.bin", 0), ...padded(state)],
      ...[header("SHA256SUMS", sums.length), ...padded(sums), new Uint8Array(1024)],
    ];
    const tar = new Blob(parts as Uint8Array<ArrayBuffer>[]);
    return filesOf(await bytesOf(tar.stream().pipeThrough(new CompressionStream("gzip"))), "a.snap");
  };
  const reader = await openFormat(await pack("30 mtime=1795289823.123456789\n10 size=5\n"));
  assert.deepEqual(await bytesOf(reader.file("state.bin")), encoder.encode("state"));
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
  assert.isTrue(await isFoundBad(await pack("10 size=4\n")));
  assert.isTrue(await isFoundBad(await pack("18 path=meta.json\n10 size=5\n")));
  assert.isTrue(await isFoundBad(await pack("10 size=5\n", "g")), "what is said of all files that follow");
  assert.isTrue(await isFoundBad(await pack("10 size=5\n", "L")), "a long name of GNU's");
});

test("formats, consul: zeros behind an archive's end are not read for ever to find out what it is", async () => {
  let blocks = 0;
  const zeros = async function* () {
    for (; blocks < 100; blocks++) yield await Promise.resolve(new Uint8Array(64 * 1024));
    throw new Error("All of them are read");
  };
  await rejects(nextEntry(new PieceReader(zeros(), "zeros.gz"), "zeros.gz"), "CORRUPT");
  assert.isAtMost(blocks, 17);
});

test("formats: a snapshot of another system is archived, and taken in, as any other", async () => {
  for (const path of ["hashicorp/multi", "consul/small.snap"]) {
    const reader = await openFormat(await sourceFiles(`${FIXTURES}/${path}`));
    const storage = new MemoryStorage();
    const { meta } = await unarchive(archive(reader), storage).result;
    assert.strictEqual(meta.lastIncludedIndex, reader.meta.lastIncludedIndex);
    const taken = await storage.open();
    assert.deepEqual(await bytesOf(taken.file("state.bin")), await bytesOf(reader.file("state.bin")));
    await taken.close();
    await reader.close();
    await storage.close();
  }
});

test("formats: something that is no snapshot is refused, never taken for a good one", async () => {
  const nothing: Contents[] = [new Uint8Array(0), noise(5000, 1), { a: noise(10, 1) }, {}];
  for (const contents of nothing) {
    assert.isUndefined(await detectFormat(filesOf(contents, "x")));
    await rejects(openFormat(filesOf(contents, "x")), "UNSUPPORTED");
  }
  await rejects(sourceFiles("tests/fixtures/nowhere"), "NOT_FOUND");
  assert.deepEqual(Object.keys(await readAll(await sourceFiles(`${FIXTURES}/hashicorp/empty`))), ["state.bin"]);
});
