// SOFA-JRaft 1.3, Ratis 3.2 and Flink 2.1: they write, we read; we write, JRaft starts from it, and Ratis loads it.

import { keyGroupOf } from "../../mod.ts";
import { hashString } from "../../src/extend.ts";
import { listFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { assert, test } from "../support/harness.ts";
import { checkUpdates } from "../support/flink_updates.ts";
import { inTemp } from "../support/temp.ts";
import { askFlink, askFlinkUpdates, askRaft } from "./judge.ts";
import { checkState, digestOf, opened, ours, PEERS, SIZES, write } from "./kit.ts";

test("interop, jraft: its snapshot is read; a node starts from ours, with all of the state", () =>
  inTemp(async (directory) => {
    for (const size of SIZES) {
      const [theirs, made] = [`${directory}/theirs-${size}`, `${directory}/ours-${size}`];
      const { port } = await askRaft("jraft-write", theirs, size);
      const reader = await opened(theirs, "jraft");
      assert.deepEqual(reader.meta.peers, [`127.0.0.1:${port}`]);
      await checkState(reader, "state", size);
      await checkState(reader, "small", 10);
      await write(reader, "jraft", `${directory}/again-${size}`);
      const own = await ours(size, PEERS);
      await write(own, "jraft", made);
      const found = { bytes: size, sha256: await digestOf(own, "state") };
      const started = await askRaft("jraft-start", made);
      assert.deepEqual(started, { index: 4711, term: 12, peers: "[n1:8200, 10.0.0.2:8200]", files: { state: found } });
      const again = await askRaft("jraft-start", `${directory}/again-${size}`);
      assert.strictEqual(BigInt(again.index as number), reader.meta.lastIncludedIndex);
      await reader.close();
      await own.close();
    }
  }));

test("interop, ratis: its snapshot is read; it loads ours, and finds its MD5 right", () =>
  inTemp(async (directory) => {
    for (const size of SIZES) {
      const theirs = `${directory}/theirs-${size}`;
      await askRaft("ratis-write", theirs, size);
      const reader = await opened(theirs, "ratis");
      assert.deepEqual([reader.meta.lastIncludedIndex, reader.meta.lastIncludedTerm], [77n, 5n]);
      await checkState(reader, "snapshot.5_77", size);
      await reader.close();
      await Deno.remove(`${theirs}/sm`, { recursive: true });
      const own = await ours(size, PEERS);
      await write(own, "ratis", `${theirs}/sm`);
      assert.deepEqual(await askRaft("ratis-load", theirs), { index: 4711, term: 12, bytes: size });
      await own.close();
    }
  }));

for (const [layout, compression] of [["native", "plain"], ["rocksdb", "plain"], ["canonical", "snappy"]]) {
  test(`interop, flink: each key of twenty thousand, of three workers: ${layout}, ${compression}`, () =>
    inTemp(async (directory) => {
      const keys = 20_000;
      const { path } = await askFlink(`${directory}/${layout}`, 3, keys, layout!, compression!);
      const reader = await opened(path as string, "flink");
      const counts = new Map<string, bigint>();
      for await (const { key, value, keyGroup } of reader.entries({ space: "keyed/count" })) {
        assert.strictEqual(keyGroup, keyGroupOf(hashString(key as string), 128));
        counts.set(key as string, value as bigint);
      }
      assert.strictEqual(counts.size, keys);
      for (let k = 0; k < keys; k++) assert.strictEqual(counts.get(`key-${k}`), BigInt(k) * 10n);
      const { checked, unchecked } = await reader.verify().result;
      assert.include(checked, `keyed/map: ${2 * keys} records`);
      assert.isFalse(unchecked.some((line) => line.includes("serializers")));
      await reader.close();
    }));
}

/** Settings of RocksDB: its index as Flink has it, and in parts. */
const INDICES: Readonly<Record<string, readonly string[]>> = {
  "whole": [],
  "in parts": ["state.backend.rocksdb.memory.partitioned-index-filters=true"],
};

for (const [index, parts] of Object.entries(INDICES)) {
  test(`interop, flink: keys of a RocksDB that change between checkpoints, also of two workers; an index ${index}`, () =>
    inTemp(async (directory) => {
      const [keys, rounds, more] = [3000, 10, 3];
      const settings = ["state.backend.rocksdb.use-bloom-filter=true", ...parts];
      const { path } = await askFlinkUpdates(`${directory}/one`, keys, rounds, ...settings);
      const reader = await opened(path as string, "flink");
      await checkUpdates(reader, keys, rounds);
      await reader.close();
      // Each of the two takes all tables, and deletes the range of the other's keys.
      const [{ name } = { name: "" }] = await listFormat(await sourceFiles(path as string));
      const restored = ["parallelism.default=2", `execution.state-recovery.path=file://${path}/${name}`];
      const { path: again } = await askFlinkUpdates(`${directory}/two`, keys, more, ...settings, ...restored);
      const two = await opened(again as string, "flink");
      await checkUpdates(two, keys, rounds, more);
      await two.close();
    }));
}
