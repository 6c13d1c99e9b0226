// hashicorp/raft 1.7.3, raft-snapshot 1.0.4 and etcd 3.5: they write, we read; we write, they read, and start from it.

import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { askGo } from "./judge.ts";
import { checkState, digestOf, opened, ours, PEERS, SIZES, write } from "./kit.ts";

test("interop, hashicorp/raft: its store is read; ours starts it, with all of the state", () =>
  inTemp(async (directory) => {
    for (const size of SIZES) {
      const [theirs, made] = [`${directory}/theirs-${size}`, `${directory}/ours-${size}`];
      const meta = await askGo("store-write", theirs, size);
      const reader = await opened(theirs, "hashicorp");
      assert.strictEqual(Number(reader.meta.lastIncludedIndex), meta.Index);
      assert.deepEqual(reader.meta.peers, ["n1"]);
      await checkState(reader, "state.bin", size);
      await reader.close();
      const own = await ours(size, PEERS);
      await write(own, "hashicorp", made);
      const started = await askGo("store-start", made);
      assert.deepInclude(started, { bytes: size, sha256: await digestOf(own, "state"), applied: 4711 });
      assert.deepEqual((started.servers as { Address: string }[]).map(({ Address }) => Address), [
        "n1:8200",
        "10.0.0.2:8200",
      ]);
      await own.close();
    }
  }));

test("interop, raft-snapshot: its archive is read; ours is verified and restored into a running raft", () =>
  inTemp(async (directory) => {
    for (const size of SIZES) {
      const [theirs, made] = [`${directory}/theirs-${size}.snap`, `${directory}/ours-${size}.snap`];
      const { index } = await askGo("archive-write", theirs, size);
      const reader = await opened(theirs, "consul");
      assert.strictEqual(Number(reader.meta.lastIncludedIndex), index);
      await checkState(reader, "state.bin", size);
      await reader.close();
      const own = await ours(size, PEERS);
      await write(own, "consul", made);
      assert.deepInclude(await askGo("archive-start", made), { bytes: size, sha256: await digestOf(own, "state") });
      await own.close();
    }
  }));

test("interop, etcd: its .snap files are read; it loads ours", () =>
  inTemp(async (directory) => {
    for (const size of SIZES) {
      const [theirs, made] = [`${directory}/theirs-${size}`, `${directory}/ours-${size}`];
      await askGo("snap-write", theirs, size);
      const reader = await opened(theirs, "etcd-snap");
      assert.deepEqual([reader.meta.lastIncludedIndex, reader.meta.lastIncludedTerm], [300n, 4n]);
      assert.deepEqual(reader.details, { voters: ["1", "ffffffffffffffff"], learners: ["7"] });
      if (size > 0) await checkState(reader, "state", size);
      await reader.close();
      const own = await ours(size, ["1", "abcdef0123456789"]);
      await write(own, "etcd-snap", made);
      assert.deepEqual(await askGo("snap-read", made), {
        ...{ index: 4711, term: 12, voters: 2, learners: 0, bytes: size, sha256: await digestOf(own, "state") },
      });
      await own.close();
    }
  }));

test("interop, etcd: a snapshot that it serves is read, and has the revision and the keys that etcdutl says", () =>
  inTemp(async (directory) => {
    const path = `${directory}/etcd.db`;
    await askGo("db-write", path, 500);
    const status = await askGo("db-status", path);
    const reader = await opened(path, "etcd");
    assert.strictEqual(Number(reader.details.revision), status.revision);
    const state = new Map<string, string>();
    const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);
    for await (const { key, value } of reader.entries()) {
      if (value === undefined) state.delete(text(key));
      else state.set(text(key), text(value));
    }
    assert.strictEqual(state.size, 499);
    assert.strictEqual(state.get("key-499"), "value 499");
    await reader.close();
  }));
