// Snapshots of other systems, with one of their files changed: a target for each system, so that each gets its cases.

import { gunzipSync, gzipSync } from "node:zlib";
import { openFormat, type SourceFiles } from "../../../src/formats.ts";
import { type Contents, fixture, inMemory } from "../../support/format_files.ts";
import { bytesOf } from "../../support/harness.ts";
import type { Random } from "../../support/random.ts";
import { mutate, mutateText } from "../mutate.ts";
import { law, type Target } from "../target.ts";

const SNAP = "0000000000000002-000000000000000b.snap";
const SM = "ratis/small/02511d47-d67c-49a3-9011-abb3109a44c1";

/** The fixtures of each system, and the names that it looks at. */
const SEEDS: Readonly<Record<string, readonly (readonly [path: string, name: string])[]>> = {
  hashicorp: [["hashicorp/small", "small"], ["hashicorp/multi/snapshots", "snapshots"]],
  consul: [["consul/small.snap", "small.snap"]],
  etcd: [["etcd/snap.db", "snap.db"]],
  "etcd-snap": [[`etcd/${SNAP}`, SNAP]],
  ratis: [[SM, "group"]],
  redis: [["redis/small.rdb", "small.rdb"]],
  sqlite: [["sqlite/small.db", "small.db"]],
  jraft: [["jraft", "snapshot_10"]],
  braft: [["braft/nested/storage", "storage"]],
  flink: [
    ["flink/1.20-heap", "savepoint"],
    ["flink/1.20-canonical-snappy", "savepoint"],
    ["flink/2.1-heap", "savepoint"],
    ["flink/1.20-kryo-canonical", "savepoint"],
    ["flink/1.20-rocksdb", "job"],
  ],
};
/** A database takes ten times as long as any other, and what is special to it has a target of its own. */
const RARE = "flink/1.20-rocksdb";
/** The systems whose keys and values are read. */
const DECODED: ReadonlySet<string> = new Set(["etcd", "flink", "redis", "sqlite"]);

/** The content with one of its files changed. */
function changed(contents: Contents, name: string, random: Random, all: readonly Uint8Array[]): Contents {
  const others = random.chance(0.1) ? all : [];
  if (contents instanceof Uint8Array) {
    // A check of all of it would hide what is behind that.
    if (name === "small.snap" && random.chance(0.7)) {
      return gzipSync(mutate(gunzipSync(contents), random, others), { level: 1 });
    }
    const inside = name === "snap.db" && random.chance(0.8) ? contents.subarray(0, -32) : contents;
    return mutate(inside, random, others);
  }
  const file = random.pick(Object.keys(contents));
  const isText = /\.(json|md5)$/.test(file) && random.chance(0.7);
  const bytes = isText
    ? new TextEncoder().encode(mutateText(new TextDecoder().decode(contents[file]), random))
    : mutate(contents[file]!, random, others);
  return { ...contents, [file]: bytes };
}

/** Whatever is taken is verified, read and listed; whatever is refused, is refused with a `SnapshotError`. */
async function readWhole(files: SourceFiles): Promise<void> {
  const reader = await openFormat(files);
  const { ok, bad } = await reader.verify().result;
  law(ok === (bad.length === 0), "what is bad is listed");
  for (const { name, source } of reader.manifest.files) {
    if (source === "reference") continue;
    const bytes = await bytesOf(reader.file(name));
    law(bytes.length === await reader.size(name), "a file has its size");
  }
  if (DECODED.has(reader.system) && (ok || reader.system === "etcd")) {
    for await (const { space } of reader.entries()) {
      if (reader.system === "flink") law(space.includes("/"), "its space");
      if (reader.system === "etcd") law(space === "key", "its space");
    }
  }
  await reader.close();
}

/** One for each system. */
export const formats: readonly Target[] = Object.entries(SEEDS).map(([system, seeds]) => ({
  name: `formats-${system}`,
  share: 4,
  codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED", "NOT_FOUND"],
  mostBytes: 48 * 1024 * 1024, // pages of a database
  prepare() {
    const contentOf = (path: string): Contents => {
      const contents = fixture(path);
      if (path !== "jraft") return contents;
      // The fixture is without the files that its manifest lists.
      const file = new Uint8Array(100);
      return { ...contents as Record<string, Uint8Array>, data: file, "small.txt": file };
    };
    const corpus = seeds.map(([path, name]) => ({ path, contents: contentOf(path), name }));
    const usual = corpus.filter(({ path }) => path !== RARE);
    const all = Object.values(SEEDS).flat().flatMap(([path]) => {
      const contents = contentOf(path);
      return contents instanceof Uint8Array ? [contents] : Object.values(contents);
    });
    return async (random) => {
      const { contents, name } = random.pick(random.chance(0.03) ? corpus : usual);
      await readWhole(inMemory(changed(contents, name, random, all), name));
    };
  },
}));
