// Snapshots of other systems, with one of their files changed.

import { openFormat } from "../../../src/formats.ts";
import { type Contents, filesOf, fixture } from "../../support/format_files.ts";
import { bytesOf } from "../../support/harness.ts";
import { mutate, mutateText } from "../mutate.ts";
import { law, type Target } from "../target.ts";

const SNAP = "0000000000000002-000000000000000b.snap";
const SM = "ratis/small/02511d47-d67c-49a3-9011-abb3109a44c1";

/** The fixtures, and the names that the systems look at. */
const SEEDS: readonly (readonly [path: string, name: string])[] = [
  ["hashicorp/small", "small"],
  ["hashicorp/multi/snapshots", "snapshots"],
  ["consul/small.snap", "small.snap"],
  ["etcd/snap.db", "snap.db"],
  [`etcd/${SNAP}`, SNAP],
  [SM, "group"],
  ["redis/small.rdb", "small.rdb"],
  ["sqlite/small.db", "small.db"],
  ["jraft", "snapshot_10"],
  ["braft/nested/storage", "storage"],
  ["flink/1.20-heap", "savepoint"],
  ["flink/1.20-canonical-snappy", "savepoint"],
  ["flink/2.1-heap", "savepoint"],
  ["flink/1.20-kryo-canonical", "savepoint"],
  ["flink/1.20-rocksdb", "job"],
];

/** Whatever is taken is verified, read and listed; whatever is refused, is refused with a `SnapshotError`. */
export const formats: Target = {
  name: "formats",
  share: 40,
  codes: ["MALFORMED", "CORRUPT", "UNSUPPORTED", "NOT_FOUND"],
  mostBytes: 48 * 1024 * 1024, // pages of a database
  prepare() {
    const corpus = SEEDS.map(([path, name]) => ({ contents: fixture(path), name }));
    const all = corpus.flatMap(({ contents }) => contents instanceof Uint8Array ? [contents] : Object.values(contents));
    return async (random) => {
      const { contents, name } = random.pick(corpus);
      let changed: Contents;
      if (contents instanceof Uint8Array) {
        // The digest at its end would hide the rest.
        const inside = name === "snap.db" && random.chance(0.8) ? contents.subarray(0, -32) : contents;
        changed = mutate(inside, random, random.chance(0.1) ? all : []);
      } else {
        const file = random.pick(Object.keys(contents));
        const isText = /\.(json|md5)$/.test(file) && random.chance(0.7);
        const bytes = isText
          ? new TextEncoder().encode(mutateText(new TextDecoder().decode(contents[file]), random))
          : mutate(contents[file]!, random, random.chance(0.1) ? all : []);
        changed = { ...contents, [file]: bytes };
      }
      const reader = await openFormat(filesOf(changed, name));
      const { ok, bad } = await reader.verify().result;
      law(ok === (bad.length === 0), "what is bad is listed");
      for (const { name, source } of reader.manifest.files) {
        if (source === "reference") continue;
        const bytes = await bytesOf(reader.file(name));
        law(bytes.length === await reader.size(name), "a file has its size");
      }
      if (reader.system === "etcd" || (reader.system === "flink" && ok)) {
        for await (const { space } of reader.entries()) {
          law(reader.system === "flink" ? space.includes("/") : space === "key", "its space");
        }
      }
      await reader.close();
    };
  },
};
