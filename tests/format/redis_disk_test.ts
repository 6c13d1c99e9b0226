// RDB files, written by the real program (Redis 7.0.15), of which redis-check-rdb says that they have 33 keys.

import { detectFormat, openFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { cutsThatPass, filesOf, fixture, FIXTURES, flipsThatPass, verified } from "../support/format_files.ts";
import { assert, rejects, test } from "../support/harness.ts";

const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);

test("formats, redis: version, keys of each type, and the check at the end", async () => {
  const files = await sourceFiles(`${FIXTURES}/redis/small.rdb`);
  assert.deepInclude(await detectFormat(files), { system: "redis", sure: "certain" });
  const reader = await openFormat(files);
  assert.deepInclude(reader.details, { version: 10, hasCrc: true });
  assert.deepInclude(reader.details.aux, { "redis-ver": "7.0.15" });
  const { ok, checked, unchecked, bytes } = await reader.verify().result;
  assert.isTrue(ok);
  assert.deepEqual(unchecked, []);
  assert.strictEqual(bytes, (fixture("redis/small.rdb") as Uint8Array).length - 8);
  const counts = checked.map((line) => /^database (.*) keys$/.exec(line)?.[1]).filter((line) => line !== undefined);
  assert.sameMembers(counts, [
    ...["0, string: 24", "0, hash: 2", "0, list: 1", "0, set: 2", "0, zset: 2", "0, stream: 1", "3, string: 1"],
  ]);
  await reader.close();
});

test("formats, redis: strings and hashes, as texts, integers, compressed and packed", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/redis/small.rdb`));
  const found = new Map<string, unknown>();
  for await (const { space, key, value } of reader.entries()) {
    found.set(
      `${space} ${text(key)}`,
      Array.isArray(value) ? value.map((pair) => pair.map(text).join("=")).sort() : text(value),
    );
  }
  assert.strictEqual(found.size, 27);
  assert.strictEqual(found.get("0 key:12"), "value number 12");
  assert.strictEqual(found.get("0 number"), "12345");
  assert.strictEqual(found.get("0 neg"), "-7");
  assert.strictEqual(found.get("0 long"), "abc".repeat(200));
  assert.strictEqual(found.get("3 other"), "db3");
  assert.deepEqual(found.get("0 user:1"), ["age=36", "name=Ada"]);
  assert.deepEqual(found.get("0 bighash"), [`f1=${"y".repeat(100)}`, "f2=v2"]);
  assert.lengthOf(await Array.fromAsync(reader.entries({ space: "3" })), 1);
  await reader.close();
});

test("formats, redis: a group of a stream that has not counted what it read, and an identifier of 64 bits", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/redis/streams.rdb`));
  const { ok, checked, bad } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad)); // of Redis 7.0.15, whose redis-check-rdb approves of it
  assert.includeMembers([...checked], ["database 0, stream: 2 keys", "database 5, string: 1 keys"]);
  const found = await Array.fromAsync(reader.entries());
  assert.deepEqual(found.find(({ key }) => text(key) === "e")?.expires, 9_999_999_999_999n);
  assert.notProperty(found.find(({ key }) => text(key) === "a"), "expires");
  await reader.close();
});

test("formats, redis: fields that expire, packed or not, and what modules wrote", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/redis/modules.rdb`)); // of Redis 8
  const { ok, checked, bad } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad));
  assert.includeMembers([...checked], ["database 0, hash: 2 keys", "database 0, module: 2 keys"]);
  const found = new Map((await Array.fromAsync(reader.entries())).map((entry) => [text(entry.key), entry]));
  for (const name of ["h", "h2"]) {
    const fields = found.get(name)!.value as [Uint8Array, Uint8Array, bigint?][];
    assert.sameDeepMembers(fields.map(([field, value, expires]) => [text(field), text(value), expires]), [
      ...[["a", "1", 4_102_444_800_000n], ["b", "2", 4_102_444_800_500n], ["c", "3", undefined]],
    ]);
  }
  assert.strictEqual(found.get("plain")?.expires, 4_102_444_800_000n);
  await reader.close();
  assert.deepEqual(await flipsThatPass(fixture("redis/modules.rdb") as Uint8Array, undefined, "modules.rdb"), []);
});

test("formats, redis: every change is found, and each length that it is cut to", async () => {
  const contents = fixture("redis/small.rdb") as Uint8Array;
  assert.deepEqual(await flipsThatPass(contents, undefined, "small.rdb"), []);
  assert.deepEqual(await cutsThatPass(contents, undefined, "small.rdb"), []);
  const unsummed = contents.slice();
  unsummed.fill(0, -8);
  const { ok, unchecked } = await verified(filesOf(unsummed, "small.rdb"));
  assert.isTrue(ok);
  assert.lengthOf(unchecked, 1);
  await rejects(openFormat(filesOf(new TextEncoder().encode("REDIS0099"), "newer.rdb")), "UNSUPPORTED");
});

test("formats, redis: hashes as Redis 4 packed them: texts and integers of each size", async () => {
  const bytes = (...parts: (string | number[])[]) =>
    parts.flatMap((part) => typeof part === "string" ? [...new TextEncoder().encode(part)] : part);
  const long = "x".repeat(300);
  const items = bytes(
    ...[[0, 1], "a", [3, 0xf3], [2, 2], "bc", [4, 0xfe, 0xfb], [3, 1], "d", [3, 0xc0, 0x00, 0x80]],
    ...[[4, 1], "e", [3, 0xf0, 0xff, 0xff, 0x7f], [5, 1], "f", [3, 0xd0, 0, 0, 0, 0x80], [6, 1], "g"],
    ...[[3, 0xe0, 1, 0, 0, 0, 0, 0, 0, 0x80], [10, 1], "h", [3, 0x41, 0x2c], long],
    ...[[0xfe, 0x2e, 1, 0, 0, 1], "i", [3, 0x80, 0, 0, 0, 1], "z"],
  );
  const size = 10 + items.length + 1;
  const list = [size & 0xff, size >> 8, 0, 0, 0, 0, 0, 0, 18, 0, ...items, 0xff];
  const file = bytes("REDIS0006", [0xfe, 0, 13, 1], "k", [0x40 | size >> 8, size & 0xff], list, [
    0xff,
    ...Array(8).fill(0),
  ]);
  const reader = await openFormat(filesOf(Uint8Array.from(file), "old.rdb"));
  const [{ value } = { value: [] }] = await Array.fromAsync(reader.entries());
  assert.deepEqual((value as Uint8Array[][]).map((pair) => pair.map(text).join("=")), [
    ...["a=2", "bc=-5", "d=-32768", "e=8388607", "f=-2147483648", "g=-9223372036854775807", `h=${long}`, "i=z"],
  ]);
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
});
