// Every byte of every small fixture, changed: what is changed is found, or changes nothing, or `verify` says of the file
// that it has no checksum of it. Some of the bytes, picked by a seed; with FLIPS=all all of them, which takes long.

import { readdirSync } from "node:fs";
import { type FormatReader, openFormat, type SourceFiles } from "../../src/formats.ts";
import { hasCode } from "../../src/errors.ts";
import { sha256, toHex } from "../../src/stream/mod.ts";
import { type Contents, filesOf, fixture, FIXTURES } from "../support/format_files.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";

/** Changed bytes of each file, where not all are. */
const SAMPLE = 12;
const ALL = Deno.env.get("FLIPS") === "all";

/** What a file of a fixture has no checksum of, as `verify` says it. */
type Claims = readonly (readonly [file: RegExp, unchecked: RegExp])[];

const FLINK: Claims = [[/_metadata$/, /^metadata: /], [/./, /^content: /]];
const UNCHECKED = /^OPTIONS and CURRENT of RocksDB, and the last 53 bytes of its tables/;
/** RocksDB's files, which have other names in a checkpoint: how many bytes at their ends have no checksum. */
const ROCKSDB: readonly (readonly [content: RegExp, unchecked: number])[] = [
  [/\xf7\xcf\xf4\x85\xb7\x41\xe2\x88$/, 53],
  [/^(?!# )[^]*leveldb\.Bytewise/, 0],
  [/^# This is a RocksDB option file|^MANIFEST-\d+\n$/, Infinity],
];

/** The fixtures, the names that their systems look at, and what may pass. */
const CASES: readonly (readonly [path: string, name: string, claims: Claims])[] = [
  ["hashicorp/small/snapshots/3-10-1795289823797", "3-10-1795289823797", [[/^meta\.json$/, /^meta\.json has no/]]],
  ["consul/small.snap", "small.snap", []],
  ["etcd/snap.db", "snap.db", []],
  ["etcd/0000000000000002-000000000000000b.snap", "0000000000000002-000000000000000b.snap", []],
  ["ratis/small/02511d47-d67c-49a3-9011-abb3109a44c1", "group", [[/raft-meta\.conf$/, /^peers: /]]],
  ["redis/small.rdb", "small.rdb", []],
  ["sqlite/small.db", "small.db", [[/./, /SQLite has no checksums/]]],
  ["jraft", "snapshot_10", [[/_meta$/, /^index, term and peers: /], [/./, /^the content and the sizes /]]],
  ...["bigint", "joint", "nested", "names"].map((name): typeof CASES[number] => [
    `braft/${name}/storage`,
    "storage",
    [[/_meta$/, /^index, term and peers: /], [/./, /^the content and the sizes /]],
  ]),
  ...readdirSync(`${FIXTURES}/flink`).sort().map((name): typeof CASES[number] => [
    `flink/${name}`,
    name.endsWith("checkpoint") ? "chk-1" : name.endsWith("rocksdb") ? "job" : "savepoint",
    FLINK,
  ]),
];

/** All that a reader says, and hands on. */
async function allOf(reader: FormatReader): Promise<string> {
  const { meta, details, manifest } = reader;
  const files: string[] = [];
  for (const { name, source } of manifest.files) {
    if (source === "reference") continue;
    files.push(`${name} ${toHex(await sha256(await bytesOf(reader.file(name))))}`);
  }
  const text = (_: string, value: unknown) => typeof value === "bigint" ? `${value}n` : value;
  return JSON.stringify([reader.system, meta, details, files], text);
}

/** What `verify` has no checksum of, and all that is said; nothing if something is found to be wrong. */
async function passes(files: SourceFiles): Promise<{ unchecked: readonly string[]; all: string } | undefined> {
  try {
    const reader = await openFormat(files);
    const { ok, unchecked } = await reader.verify().result;
    const all = ok ? await allOf(reader) : "";
    await reader.close();
    return ok ? { unchecked, all } : undefined;
  } catch (error) {
    if (hasCode(error, "CORRUPT", "MALFORMED", "UNSUPPORTED", "NOT_FOUND")) return undefined;
    throw error;
  }
}

/** A copy with one bit of one byte changed. */
function flipped(contents: Contents, file: string, at: number): Contents {
  const bytes = (contents instanceof Uint8Array ? contents : contents[file]!).slice();
  bytes[at]! ^= 1 << at % 8;
  return contents instanceof Uint8Array ? bytes : { ...contents, [file]: bytes };
}

for (const [path, name, claims] of CASES) {
  let contents = fixture(path);
  if (path === "jraft") contents = { ...contents, data: noise(9, 1), "small.txt": noise(3, 2) } as Contents;
  for (const [file, bytes] of Object.entries(contents instanceof Uint8Array ? { [name]: contents } : contents)) {
    test(`formats, flips: a changed byte of ${path}, ${file}, is found, or said to have no checksum`, async () => {
      const good = await passes(filesOf(contents, name));
      if (good === undefined) throw new Error("The fixture itself is found wrong");
      const content = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
      const [, end] = ROCKSDB.find(([of]) => of.test(content)) ?? [];
      const [, said] = claims.find(([of]) => of.test(file)) ?? [];
      const seed = Math.floor(Math.random() * 2 ** 31);
      const random = new Random(seed);
      const places = bytes.length <= SAMPLE || (ALL && end !== Infinity)
        ? bytes.keys()
        : Array.from({ length: SAMPLE }, () => random.below(bytes.length));
      const wrong: number[] = [];
      for (const at of places) {
        const found = await passes(filesOf(flipped(contents, file, at), name));
        if (found === undefined || found.all === good.all) continue;
        const claim = end === undefined ? said : at >= bytes.length - end ? UNCHECKED : undefined;
        if (claim === undefined || !found.unchecked.some((line) => claim.test(line))) wrong.push(at);
      }
      assert.isEmpty(wrong, `seed ${seed}, bytes ${wrong.join(", ")}`);
    });
  }
}
