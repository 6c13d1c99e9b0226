// hashicorp/raft 1.7.3, raft-snapshot 1.0.4 and etcd 3.5: they write, we read; we write, they read, and start from it.

import { MemoryStorage, type SnapshotReader } from "../../mod.ts";
import { detectFormat, type FormatReader, openFormat, type WritableSystem, writeFormat } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { defaultDisk } from "../../src/fs/mod.ts";
import { writeFiles } from "../../src/format/disk/mod.ts";
import { sha256, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { askGo, statePart } from "./judge.ts";

/** Bytes of the states: one that ends within a block of anything, and one that is large. */
const SIZES = [0, 100_003, 100 * 1024 * 1024];

async function opened(path: string, system: string): Promise<FormatReader> {
  const files = await sourceFiles(path);
  assert.deepInclude(await detectFormat(files), { system, sure: "certain" });
  const reader = await openFormat(files);
  const { ok, bad } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad));
  return reader;
}

/** The state is what the judge wrote; of a large one, its beginning and its end. */
async function checkState(reader: SnapshotReader, file: string, size: number): Promise<void> {
  assert.strictEqual(await reader.size(file), size);
  for (const start of [0, Math.max(size - 1000, 0)]) {
    const length = Math.min(1000, size);
    assert.deepEqual(await bytesOf(reader.file(file, { start, end: start + length })), statePart(start, length));
  }
}

/** A snapshot of ours with this state. */
async function ours(size: number, peers: readonly string[]): Promise<SnapshotReader> {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const target = writer.file("state").getWriter();
  for (let at = 0; at < size; at += 1024 * 1024) await target.write(statePart(at, Math.min(1024 * 1024, size - at)));
  await target.close();
  await writer.commit({ lastIncludedIndex: 4711n, lastIncludedTerm: 12n, peers });
  return await storage.open();
}

async function write(reader: SnapshotReader, system: WritableSystem, path: string): Promise<void> {
  await writeFiles(defaultDisk(), path, writeFormat(reader, { system }));
}

const PEERS = ["n1:8200:0:0", "10.0.0.2:8200:0:0"];
const digestOf = async (reader: SnapshotReader, file: string) => toHex(await sha256(await bytesOf(reader.file(file))));

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
