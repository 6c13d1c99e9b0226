/**
 * The conformance suite of storages.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import {
  archive,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotStorage,
  unarchive,
} from "../snapshot/mod.ts";
import { type ChunkMap, ChunkMapBuilder, concat, equal, sha256 } from "../stream/mod.ts";
import { check, type ConformanceCase, fails, same } from "./check.ts";

/** An empty storage to be tested, and its removal. */
export interface StorageUnderTest {
  /** The storage. It keeps two snapshots. */
  readonly storage: SnapshotStorage;
  /** Called in the end; the storage may be closed by then. */
  cleanUp(): Promise<void>;
  /**
   * Changes stored bytes of a snapshot permanently. Absent where that cannot be done: the cases that need it are then
   * skipped.
   */
  spoil?(index: bigint): Promise<void>;
}

/**
 * The suite for storages.
 *
 * @param make makes an empty storage that keeps two snapshots
 */
export function storageConformance(make: () => Promise<StorageUnderTest>): ConformanceCase[] {
  checkFunction(make, "make");
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (storage: SnapshotStorage, target: StorageUnderTest) => Promise<void>) =>
    cases.push({
      name,
      async run() {
        const target = await make();
        const { storage, cleanUp } = target;
        try {
          await body(storage, target);
        } finally {
          await storage.close();
          await cleanUp();
        }
      },
    });

  add("what was committed is read back", async (storage) => {
    const content = bytes(700_001, 1);
    const info = await save(storage, 5n, { "a/b": content, empty: new Uint8Array(0) });
    same(info.meta.lastIncludedIndex, 5n, "index");
    same(info.size, content.length, "size");
    const reader = await storage.open();
    same(reader.verified, "chunks", "verified");
    same(reader.meta.peers.join(), "p1,p2", "peers");
    same(reader.manifest.files.map(({ name }) => name).join(), "a/b,empty", "files");
    check(equal(await read(reader.file("a/b")), content), "the content is the same");
    same((await read(reader.file("empty"))).length, 0, "length of the empty file");
    check((await reader.verify().result).ok, "it verifies");
  });

  add("ranges", async (storage) => {
    const content = bytes(600_000, 2);
    await save(storage, 5n, { state: content });
    const reader = await storage.open();
    const size = content.length;
    for (const [start, end] of [[0, 1], [0, size], [262_143, 262_145], [599_999, 700_000], [5, 5], [size, size + 1]]) {
      const got = await read(reader.file("state", { start: start!, end: end! }));
      check(equal(got, content.slice(start, end)), `bytes ${start} to ${end}`);
    }
  });

  add("nothing is seen before the commit, and nothing stays of what was aborted", async (storage) => {
    const writer = await storage.create();
    await write(writer.file("state"), bytes(10, 1));
    same((await storage.list()).length, 0, "snapshots before the commit");
    await fails(() => storage.open(), "NOT_FOUND");
    await writer.abort();
    same((await storage.list()).length, 0, "snapshots after the abort");
    await fails(() => writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }), "CLOSED");
    await save(storage, 1n, { state: bytes(10, 1) });
  });

  add("one is written at a time", async (storage) => {
    const [first, second] = await Promise.allSettled([storage.create(), storage.create()]);
    same(first!.status, "fulfilled", "the first");
    check(second!.status === "rejected" && (second.reason as { code?: string }).code === "BUSY", "the second is BUSY");
    await (first as PromiseFulfilledResult<AsyncDisposable>).value[Symbol.asyncDispose]();
    await save(storage, 1n, {});
  });

  add("an index not above the newest is refused, and costs nothing", async (storage) => {
    await save(storage, 10n, { state: bytes(10, 1) });
    for (const index of [10n, 9n, 1n]) await fails(() => save(storage, index, { state: bytes(10, 2) }), "STALE");
    for (const index of [0n, -1n, 1n << 63n]) await fails(() => save(storage, index, {}), "MALFORMED");
    same((await storage.list()).length, 1, "snapshots");
    const reader = await storage.open();
    check(equal(await read(reader.file("state")), bytes(10, 1)), "the old one is as it was");
  });

  add("two are kept, newest first", async (storage) => {
    for (const index of [1n, 2n, 3n, 1n << 62n]) await save(storage, index, { state: bytes(10, 1) });
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), `${1n << 62n},3`, "indices");
    await fails(() => storage.open(1n), "NOT_FOUND");
    await (await storage.open(3n)).close();
  });

  add("a reader pins its snapshot", async (storage) => {
    await save(storage, 1n, { state: bytes(300_000, 1) });
    const reader = await storage.open(1n);
    for (const index of [2n, 3n, 4n]) await save(storage, index, { state: bytes(10, 1) });
    same(
      (await storage.list()).map((info) => `${info.meta.lastIncludedIndex}${info.pinned ? "!" : ""}`).join(),
      "4,3,1!",
      "list",
    );
    check(equal(await read(reader.file("state")), bytes(300_000, 1)), "it can be read");
    await reader.close();
    await fails(() => read(reader.file("state")), "CLOSED");
    await save(storage, 5n, {});
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "5,4", "list");
  });

  add("names that are not allowed", async (storage) => {
    const names = ["", ".", "..", "a/../b", "/a", "a//b", "a/", "./a", "a\\b", "a\0b", "x".repeat(1025), "\ud800"];
    for (const name of [...names, "__raft_snapshot_meta", "__raft_snapshot_meta.tmp"]) {
      const writer = await storage.create();
      await fails(() => write(writer.file(name), bytes(1, 1)), "MALFORMED");
      await writer.abort();
    }
    for (const [first, second] of [["a", "a"], ["a", "a/b"], ["a/b", "a"]]) {
      const writer = await storage.create();
      await write(writer.file(first!), bytes(1, 1));
      await fails(() => write(writer.file(second!), bytes(1, 1)), "MALFORMED");
      await writer.abort();
    }
    await save(storage, 1n, {
      "～": bytes(1, 1),
      "😀": bytes(1, 2),
      "a b": bytes(1, 3),
      ["x".repeat(200)]: bytes(1, 1),
    });
  });

  add("a file that was not closed cannot be committed", async (storage) => {
    const writer = await storage.create();
    const file = writer.file("state").getWriter();
    file.closed.catch(() => {});
    await file.write(bytes(1, 1));
    await fails(() => writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }), "MALFORMED");
    same((await storage.list()).length, 0, "snapshots");
  });

  add("a buffer may be changed when its write has resolved", async (storage) => {
    const writer = await storage.create();
    const file = writer.file("state").getWriter();
    const buffer = new Uint8Array(100_000);
    const whole = new Uint8Array(1_000_000);
    for (let i = 0; i < 10; i++) {
      buffer.fill(i);
      whole.fill(i, i * 100_000, (i + 1) * 100_000);
      await file.write(buffer);
    }
    buffer.fill(255);
    await file.close();
    await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
    const reader = await storage.open();
    check(equal(await read(reader.file("state")), whole), "the content is what was written");
  });

  add("attributes and the meta are kept", async (storage) => {
    const writer = await storage.create();
    await write(writer.file("state", { userMeta: bytes(3, 1), checksum: "mine", source: "local" }), bytes(3, 2));
    await writer.commit({
      lastIncludedIndex: (1n << 63n) - 1n,
      lastIncludedTerm: 1n << 40n,
      peers: ["a"],
      oldPeers: ["b", "c"],
      createdAt: 12345,
      parentIndex: 7n,
      signature: bytes(64, 3),
    });
    const reader = await storage.open();
    same(reader.meta.lastIncludedIndex, (1n << 63n) - 1n, "index");
    same(reader.meta.lastIncludedTerm, 1n << 40n, "term");
    same(reader.meta.oldPeers!.join(), "b,c", "old peers");
    same(reader.meta.createdAt, 12345, "created at");
    same(reader.meta.parentIndex, 7n, "parent");
    check(equal(reader.meta.signature!, bytes(64, 3)), "the signature is the same");
    const { userMeta, checksum, source } = reader.info("state");
    check(equal(userMeta!, bytes(3, 1)) && checksum === "mine" && source === "local", "the attributes are the same");
  });

  add("pieces as chunks, and key groups that begin with them, are kept, and carried over", async (storage) => {
    const content = bytes(900_000, 3);
    const ends = [1, 300, 300_000, 300_001, 900_000];
    const groups = { first: 3, last: 5, offsets: Float64Array.of(1, 300_000, 900_000) };
    const writer = await storage.create();
    const out = writer.file("state", { chunkSize: "pieces", keyGroups: () => groups }).getWriter();
    for (const [i, end] of ends.entries()) {
      await out.write(content.slice(ends[i - 1] ?? 0, end));
      await out.write(new Uint8Array(0)); // an empty piece is no chunk
    }
    await out.close();
    same(writer.info("state").chunks?.count, 5, "chunks while it is written");
    await fails(() => writer.info("other"), "NOT_FOUND");
    const tooLong = writer.file("long", { chunkSize: "pieces" }).getWriter();
    tooLong.closed.catch(() => {});
    await fails(() => tooLong.write(new Uint8Array(4 * 1024 * 1024 + 1)), "MALFORMED");
    await writer.abort();

    const second = await storage.create();
    const again = second.file("state", { chunkSize: "pieces", keyGroups: () => groups }).getWriter();
    for (const [i, end] of ends.entries()) await again.write(content.slice(ends[i - 1] ?? 0, end));
    await again.close();
    await second.commit({ lastIncludedIndex: 5n, lastIncludedTerm: 1n, peers: [] });
    const check5 = async (reader: SnapshotReader) => {
      const { chunks, keyGroups } = reader.info("state");
      same(ends.map((_, i) => chunks!.offset(i) + chunks!.length(i)).join(), ends.join(), "where chunks end");
      same([keyGroups!.first, keyGroups!.last, ...keyGroups!.offsets].join(), "3,5,1,300000,900000", "key groups");
      check(equal(await read(reader.file("state")), content), "the content");
      for (const [start, end] of [[0, 1], [299, 300_001], [300_000, 300_001], [1, 900_000]]) {
        const got = await read(reader.file("state", { start: start!, end: end! }));
        check(equal(got, content.slice(start, end)), `bytes ${start} to ${end}`);
      }
      check((await reader.verify().result).ok, "it verifies");
    };
    const reader = await storage.open();
    await check5(reader);
    const carried = await read(archive(reader));
    await reader.close();
    const there = await make();
    await unarchive(streamOf(carried), there.storage).result;
    const taken = await there.storage.open();
    await check5(taken);
    await taken.close();
    await there.storage.close();
    await there.cleanUp();
  });

  add(
    "files are reused, all or none, and are there when the snapshot they were reused from is gone",
    async (storage) => {
      const files = { a: bytes(300_000, 1), "b/c": bytes(10, 2), empty: new Uint8Array(0) };
      await save(storage, 1n, files);
      const reader = await storage.open();
      const infos = reader.manifest.files.map((file) => ({ ...file, name: `old/${file.name}` }));
      await reader.close();
      const reused = { bytes: 0, chunks: 0 };
      const writer = await storage.create({
        onReused: (bytes, chunks) => {
          reused.bytes += bytes;
          reused.chunks += chunks;
        },
      });
      const strange = { ...infos[0]!, name: "strange", chunks: await chunkMapOf(bytes(10, 9)) };
      same(await writer.reuse([infos[0]!, strange]), false, "with one that is not here");
      same(await writer.reuse([{ name: "without chunks" }]), false, "without chunks");
      await fails(() => writer.info("old/a"), "NOT_FOUND");
      same(await writer.reuse(infos), true, "with all that are here");
      same(writer.info("old/a").chunks?.size, 300_000, "size");
      same(`${reused.bytes} ${reused.chunks}`, "300010 3", "bytes and chunks that were told");
      await fails(() => writer.reuse([infos[0]!]), "MALFORMED");
      await write(writer.file("new"), bytes(20, 3));
      await writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
      await save(storage, 3n, { a: bytes(10, 4) });
      await save(storage, 4n, { a: bytes(10, 5) }); // the first two are retired
      const indices = (await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join();
      same(indices, "4,3", "snapshots");
      await fails(() => storage.open(1n), "NOT_FOUND");
      const late = await storage.create();
      same(await late.reuse(infos), false, "what is gone");
      await late.abort();
    },
  );

  add(
    "what was reused is read as it was, though the older snapshot is gone, and says of which it is",
    async (storage) => {
      const content = bytes(600_000, 1);
      await save(storage, 1n, { a: content });
      for (let index = 2n; index <= 5n; index++) {
        const reader = await storage.open();
        const writer = await storage.create();
        check(await writer.reuse(reader.manifest.files), "reused");
        await reader.close();
        await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
      }
      const reader = await storage.open();
      same(reader.meta.parentIndex, 4n, "parent");
      check(equal(await read(reader.file("a")), content), "the content");
      check((await reader.verify().result).ok, "it verifies");
      await reader.close();
    },
  );

  add("an archive carries a snapshot over, and is all or nothing", async (storage) => {
    await save(storage, 3n, { "a/b": bytes(600_000, 1), c: bytes(5, 2) });
    const reader = await storage.open();
    const whole = await read(archive(reader));
    const { digest } = reader.manifest;
    await reader.close();
    const { storage: other, cleanUp } = await make();
    try {
      for (const length of [0, 5, 100, 300_000, whole.length - 1]) {
        await fails(
          () => unarchive(streamOf(whole.slice(0, length)), other).result,
          length < 9 ? length === 0 ? "MALFORMED" : "CORRUPT" : "CORRUPT",
        );
      }
      same((await other.list()).length, 0, "snapshots after archives that were cut short");
      const info = await unarchive(streamOf(whole), other).result;
      check(equal(info.digest, digest), "the digest is the same");
      const copy = await other.open(3n);
      check(equal(await read(copy.file("a/b")), bytes(600_000, 1)), "the content is the same");
      await fails(() => unarchive(streamOf(whole), other).result, "STALE");
    } finally {
      await other.close();
      await cleanUp();
    }
  });

  add("an install: verified, in any order, gone on with, and nothing twice", async (storage) => {
    const old = bytes(1_500_000, 7);
    const content = old.slice();
    content.set(bytes(1000, 9), 300_000); // one chunk differs
    const manifest = await manifestOf(make, 20n, { state: content, same: old, tiny: bytes(5, 1) });
    await save(storage, 10n, { state: old });
    let install = await storage.install(manifest);
    await fails(() => storage.install(manifest), "BUSY");
    let reused = 0;
    await install.prepare({ onReused: (count) => reused += count });
    same(reused, 2 * old.length - 262_144, "bytes that were here");
    const missing = [...install.missing()].flatMap(({ file, first, end }) =>
      Array.from({ length: end - first }, (_, i) => `${file.name} ${first + i}`)
    );
    same(missing.join(), "state 1,tiny 0", "what is missing");
    await fails(() => install.write("state", 1, old.slice(262_144, 2 * 262_144)), "CORRUPT");
    for (const none of [99, -1, 0.5, NaN]) await fails(() => install.write("state", none, old), "MALFORMED");
    await fails(() => install.write("other", 0, old), "MALFORMED");
    await fails(() => install.commit(), "MALFORMED");
    await install.write("state", 1, content.slice(262_144, 2 * 262_144));
    await install.close();
    await fails(() => install.write("tiny", 0, bytes(5, 1)), "CLOSED");

    install = await storage.install(manifest);
    await install.prepare();
    const left = [...install.missing()];
    check(left.length <= 3, "no more is missing than before");
    for (const { file, first, end } of left) {
      const whole = file.name === "tiny" ? bytes(5, 1) : file.name === "same" ? old : content;
      for (let i = first; i < end; i++) await install.write(file.name, i, whole.slice(i * 262_144, (i + 1) * 262_144));
    }
    await install.commit();
    await install.close();
    const reader = await storage.open();
    same(reader.meta.lastIncludedIndex, 20n, "index");
    check(equal(reader.manifest.digest, manifest.digest), "the digest is the same");
    check(
      equal(await read(reader.file("state")), content) && equal(await read(reader.file("same")), old),
      "the content is right",
    );
    await fails(() => storage.install(manifest), "STALE");
  });

  add("an install: the same chunk is wanted once, and put wherever it belongs", async (storage) => {
    const [one, two] = [bytes(262_144, 3), bytes(262_144, 4)];
    const twice = concat([one, two, one, one]);
    const manifest = await manifestOf(make, 20n, { a: twice, b: one, c: concat([two, bytes(10, 5)]) });
    const install = await storage.install(manifest);
    let reused = 0;
    await install.prepare({ onReused: (_, chunks) => reused += chunks });
    let written = 0;
    for (const { file, first, end } of install.missing()) {
      const whole = file.name === "a" ? twice : file.name === "b" ? one : concat([two, bytes(10, 5)]);
      for (let i = first; i < end; i++, written++) {
        await install.write(file.name, i, whole.slice(i * 262_144, (i + 1) * 262_144));
      }
    }
    same(written, 3, "chunks that are not the same");
    same(reused, 4, "chunks that are");
    await install.commit();
    await install.close();
    const reader = await storage.open();
    check(equal(await read(reader.file("a")), twice), "a");
    check(equal(await read(reader.file("b")), one), "b");
    check((await reader.verify().result).ok, "it verifies");
  });

  add("an install: what has come can be read, and nothing else; also while it becomes a snapshot", async (storage) => {
    const content = bytes(1_000_000, 7);
    const manifest = await manifestOf(make, 20n, { state: content });
    same(storage.installing, undefined, "an install before it is begun");
    const install = await storage.install(manifest);
    check(storage.installing === install, "the install that is open is known");
    await install.prepare();
    await install.write("state", 1, content.slice(262_144, 2 * 262_144));
    check(install.has("state", 1) && !install.has("state", 0), "which chunks are here");
    const part = await read(install.file("state", { start: 262_150, end: 300_000 }));
    check(equal(part, content.slice(262_150, 300_000)), "what has come");
    await fails(() => read(install.file("state", { start: 262_143, end: 262_145 })), "NOT_FOUND");
    await fails(() => read(install.file("other")), "NOT_FOUND");
    install.expect("state", 0, true);
    same(install.held().bytes[0], 0b0010, "which chunks are here");
    same(install.expected().bytes[0], 0b0011, "which chunks are here or expected");
    for (const i of [0, 2, 3]) await install.write("state", i, content.slice(i * 262_144, (i + 1) * 262_144));
    const reading = install.file("state").getReader();
    const first = (await reading.read()).value!;
    await install.commit();
    same(storage.installing, undefined, "an install after it was committed");
    const parts = [first];
    for (;;) {
      const { done, value } = await reading.read();
      if (done) break;
      parts.push(value);
    }
    check(equal(concat(parts), content), "reading goes on");
    await install.close();
  });

  add("a commit's check sees all of it, before anybody else, and can refuse it", async (storage) => {
    const content = bytes(600_000, 1);
    await save(storage, 1n, { state: bytes(10, 1) });
    await save(storage, 2n, { state: bytes(10, 2) });
    const meta = { lastIncludedIndex: 3n, lastIncludedTerm: 4n, peers: ["p1"] };
    let seen = 0;
    const look = async (reader: SnapshotReader) => {
      seen++;
      same(reader.meta.lastIncludedIndex, 3n, "the index");
      same(reader.manifest.files.length, 2, "files");
      check(equal(await read(reader.file("a/b")), content), "the content");
      check(
        equal(await read(reader.file("a/b", { start: 300_000, end: 300_010 })), content.slice(300_000, 300_010)),
        "a part",
      );
      same((await read(reader.file("empty"))).length, 0, "the empty file");
      check((await reader.verify().result).ok, "it verifies");
      same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "2,1", "what is there meanwhile");
    };
    const begin = async () => {
      const writer = await storage.create();
      await write(writer.file("a/b"), content);
      await write(writer.file("empty"), bytes(0, 1));
      return writer;
    };
    const refused = new TypeError("not this one");
    const outcome = await (await begin()).commit(meta, { check: () => Promise.reject(refused) }).catch((error) =>
      error
    );
    check(outcome === refused, "what the check throws");
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "2,1", "what is there after that");
    await (await begin()).commit(meta, { check: look });
    same(seen, 1, "checks");
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "3,2", "what is there then");
  });

  add("an install's check can refuse it: it stays to be resumed, unless it would be refused again", async (storage) => {
    const files = { state: bytes(600_000, 1), tiny: bytes(5, 1) };
    const manifest = await manifestOf(make, 20n, files);
    await save(storage, 10n, { state: bytes(10, 1) });
    const receive = async (look: (reader: SnapshotReader) => Promise<void>) => {
      const install = await storage.install(manifest);
      try {
        await install.prepare();
        for (const { file, first, end } of [...install.missing()]) {
          for (let i = first; i < end; i++) {
            const all = files[file.name as keyof typeof files];
            await install.write(file.name, i, all.slice(i * 262_144, (i + 1) * 262_144));
          }
        }
        return await install.commit({ check: look });
      } finally {
        await install.close();
      }
    };
    for (const code of ["UNAVAILABLE", "UNSUPPORTED", "FORBIDDEN", "MALFORMED", "TIMEOUT", "CORRUPT"] as const) {
      await fails(() => receive(() => Promise.reject(new SnapshotError(code, "not now"))), code);
      const isFinal = ["UNSUPPORTED", "MALFORMED", "CORRUPT"].includes(code);
      same((await storage.unfinished()).length, isFinal ? 0 : 1, `unfinished after ${code}`);
      same(
        (await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(),
        "10",
        `what is there after ${code}`,
      );
    }
    await receive(async (reader) => {
      check(equal(await read(reader.file("state")), files.state), "the content");
      check(equal(await read(reader.file("tiny")), files.tiny), "the other file");
      same((await storage.list()).length, 1, "snapshots meanwhile");
    });
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "20,10", "what is there then");
  });

  add("who listens is told of what is quarantined", async (storage, { spoil }) => {
    if (spoil === undefined) return;
    await save(storage, 1n, { state: bytes(10, 1) });
    await save(storage, 2n, { state: bytes(10, 2) });
    await spoil(1n);
    await spoil(2n);
    const told: bigint[] = [];
    const end = storage.onQuarantine((index) => void told.push(index));
    storage.onQuarantine(() => {
      throw new Error("the listener's own affair");
    });
    check(await storage.quarantine(2n, "found bad"), "it is quarantined");
    same(told.join(), "2", "told");
    end();
    check(await storage.quarantine(1n, "found bad"), "the other is quarantined too");
    same(told.join(), "2", "told after it was ended");
  });

  add("an install that was closed is known as unfinished", async (storage) => {
    const manifest = await manifestOf(make, 20n, { state: bytes(300_000, 7) });
    same((await storage.unfinished()).length, 0, "unfinished installs");
    const install = await storage.install(manifest);
    await install.prepare();
    await install.close();
    const [left] = await storage.unfinished();
    check(left !== undefined && equal(left.digest, manifest.digest), "the one that was closed");
    await fails(() => read(install.file("state")), "CLOSED");
  });

  add("what is good is not quarantined, whoever says that it is bad", async (storage) => {
    await save(storage, 1n, { state: bytes(300_000, 1) });
    await save(storage, 2n, { state: bytes(300_000, 2) });
    const told: bigint[] = [];
    storage.onQuarantine((index) => void told.push(index));
    check(!await storage.quarantine(2n, "a rumour"), "it is not quarantined");
    check(!await storage.quarantine(7n, "a rumour"), "nor is what is not here");
    same(told.length, 0, "told");
    same((await storage.quarantined()).length, 0, "what is quarantined");
    same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "2,1", "what is there");
    await fails(() => storage.restore(2n), "NOT_FOUND");
    same((await storage.unreadable()).length, 0, "what cannot be read");
  });

  add("what is quarantined is not opened any more; the one before it is", async (storage, { spoil }) => {
    if (spoil === undefined) return;
    await save(storage, 1n, { state: bytes(10, 1) });
    await save(storage, 2n, { state: bytes(10, 2) });
    await spoil(2n);
    const reader = await storage.open();
    check(await storage.quarantine(2n, "a test"), "it is quarantined");
    await fails(() => storage.open(2n), "NOT_FOUND");
    await reader.close();
    const older = await storage.open();
    same(older.meta.lastIncludedIndex, 1n, "index");
    await older.close();
    check(await storage.quarantine(2n, "once more"), "it is quarantined still");
    same((await storage.quarantined()).map(({ index }) => index).join(), "2", "what is quarantined");
    await fails(() => storage.restore(2n), "CORRUPT"); // it is still bad
    await save(storage, 2n, { state: bytes(10, 3) }); // can be taken again
    await fails(() => storage.restore(2n), "BUSY");
    check((await (await storage.open()).verify().result).ok, "the one that was taken again is good");
  });

  add("a group: every snapshot says it, and what comes from elsewhere must be of it", async (storage) => {
    storage.bindGroup("users");
    same(storage.group, "users", "the group");
    same((await save(storage, 10n, { state: bytes(10, 1) })).meta.group, "users", "group of what is saved");
    for (const group of ["orders", undefined, "Users", "users "]) {
      const { whole, manifest } = await offered(make, 20n, group);
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
      await fails(() => storage.install(manifest), "FORBIDDEN");
      const raw = await storage.create({ raw: true });
      await fails(() => raw.commit({ ...manifest.meta, lastIncludedIndex: 20n }), "FORBIDDEN");
      same(storage.installing, undefined, "an install");
      same((await storage.unfinished()).length, 0, "unfinished installs");
      same((await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join(), "10", "what is there");
    }
    await fails(() => save(storage, 11n, {}, "orders"), "FORBIDDEN");
    const { whole } = await offered(make, 20n, "users");
    same((await unarchive(streamOf(whole), storage).result).meta.group, "users", "group of what was taken in");
    storage.bindGroup("users");
    await fails(() => storage.bindGroup("orders"), "FORBIDDEN");
    for (const wrong of ["", "a\0b", "\ud800", "x".repeat(256), "ü".repeat(128), null, 5]) {
      await fails(() => storage.bindGroup(wrong as string), "MALFORMED");
    }
    same(storage.group, "users", "the group after that");
  });

  add("a group: not told one, a storage is of the group of what is there, which may be none", async (storage) => {
    await unarchive(streamOf((await offered(make, 10n, "users")).whole), storage).result;
    same(storage.group, undefined, "it was told none");
    for (const group of ["orders", undefined]) {
      const { whole, manifest } = await offered(make, 20n, group);
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
      await fails(() => storage.install(manifest), "FORBIDDEN");
    }
    same((await save(storage, 11n, {})).meta.group, "users", "group of what is saved");
    await fails(() => save(storage, 12n, {}, "orders"), "FORBIDDEN");

    const { storage: plain, cleanUp } = await make();
    try {
      await unarchive(streamOf((await offered(make, 10n, undefined)).whole), plain).result;
      const { whole, manifest } = await offered(make, 20n, "users");
      await fails(() => unarchive(streamOf(whole), plain).result, "FORBIDDEN");
      await fails(() => plain.install(manifest), "FORBIDDEN");
      same((await save(plain, 11n, {})).meta.group, undefined, "none stays none");
      same((await save(plain, 12n, {}, "users")).meta.group, "users", "until a save says it");
      await unarchive(streamOf(whole), plain).result;
    } finally {
      await plain.close();
      await cleanUp();
    }
  });

  add("a group: of two that come to an empty storage at once, the first says it", async (storage) => {
    const { storage: theirs, cleanUp } = await make();
    try {
      await save(theirs, 20n, { state: bytes(70_000, 20) }, "users");
      const reader = await theirs.open();
      const install = await storage.install(reader.manifest);
      await install.prepare();
      for (const { file, first, end } of [...install.missing()]) {
        const { chunks } = reader.info(file.name);
        for (let i = first; i < end; i++) {
          const range = { start: chunks!.offset(i), end: chunks!.offset(i) + chunks!.length(i), raw: true };
          await install.write(file.name, i, await read(reader.file(file.name, range)));
        }
      }
      await reader.close();
      await save(storage, 10n, { state: bytes(10, 1) }, "orders");
      await fails(() => install.commit(), "FORBIDDEN");
      await install.close();
    } finally {
      await theirs.close();
      await cleanUp();
    }
    const [only, ...more] = await storage.list();
    same(`${only?.meta.lastIncludedIndex} ${only?.meta.group} ${more.length}`, "10 orders 0", "what is there");
  });

  add(
    "a group: what lies there of another is left as it is, and what has none is the storage's own",
    async (storage) => {
      await save(storage, 3n, { state: bytes(10, 3) });
      await save(storage, 50n, { state: bytes(10, 5) }, "orders");
      storage.bindGroup("users");
      const indices = async () => (await storage.list()).map(({ meta }) => meta.lastIncludedIndex).join();
      same(await indices(), "3", "its own");
      const reader = await storage.open();
      same(reader.meta.lastIncludedIndex, 3n, "the newest");
      await reader.close();
      await fails(() => storage.open(50n), "FORBIDDEN");
      await storage.quarantine(50n, "not found bad at all");
      for (const index of [4n, 5n, 60n, 61n]) await save(storage, index, { state: bytes(10, 7) });
      same(await indices(), "61,60", "two are kept");
      await fails(() => storage.open(50n), "FORBIDDEN"); // neither retired nor quarantined
      const { whole } = await offered(make, 62n, "orders");
      await fails(() => unarchive(streamOf(whole), storage).result, "FORBIDDEN");
    },
  );

  add("closed", async (storage) => {
    await save(storage, 1n, { state: bytes(1_000_000, 1) });
    const writer = await storage.create();
    const reader = await storage.open();
    const stream = reader.file("state").getReader();
    await stream.read();
    await storage.close();
    for (const call of [() => storage.list(), () => storage.open(), () => storage.create()]) {
      await fails(call, "CLOSED");
    }
    await fails(() => writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] }), "CLOSED");
    await fails(async () => {
      for (let i = 0; i < 20; i++) await stream.read();
    }, "CLOSED");
  });
  return cases;
}

/** Bytes that look random. */
function bytes(length: number, seed: number): Uint8Array {
  const all = new Uint8Array(length);
  let x = seed * 2_654_435_761 | 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    all[i] = x;
  }
  return all;
}

function streamOf(all: Uint8Array): ReadableStream<Uint8Array> {
  return ReadableStream.from((function* () {
    for (let at = 0; at < all.length; at += 50_000) yield all.slice(at, at + 50_000);
  })());
}

async function read(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return concat(parts);
}

function write(sink: WritableStream<Uint8Array>, content: Uint8Array): Promise<void> {
  return streamOf(content).pipeTo(sink);
}

async function save(
  storage: SnapshotStorage,
  index: bigint,
  files: Readonly<Record<string, Uint8Array>>,
  group?: string,
) {
  const writer = await storage.create();
  try {
    for (const [name, content] of Object.entries(files)) await write(writer.file(name), content);
    const meta = { lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1", "p2"] };
    return await writer.commit(group === undefined ? meta : { ...meta, group });
  } finally {
    await writer.abort();
  }
}

/** A snapshot as another node offers it. */
async function offered(make: () => Promise<StorageUnderTest>, index: bigint, group: string | undefined) {
  const { storage, cleanUp } = await make();
  try {
    await save(storage, index, { state: bytes(70_000, Number(index)) }, group);
    const reader = await storage.open();
    try {
      return { manifest: reader.manifest, whole: await read(archive(reader)) };
    } finally {
      await reader.close();
    }
  } finally {
    await storage.close();
    await cleanUp();
  }
}

/** The manifest of a snapshot as another node has it. */
async function manifestOf(
  make: () => Promise<StorageUnderTest>,
  index: bigint,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<SnapshotManifest> {
  const { storage, cleanUp } = await make();
  try {
    await save(storage, index, files);
    const reader = await storage.open();
    await reader.close();
    return reader.manifest;
  } finally {
    await storage.close();
    await cleanUp();
  }
}

async function chunkMapOf(content: Uint8Array): Promise<ChunkMap> {
  const builder = new ChunkMapBuilder(undefined);
  builder.add(await sha256(content), content.length);
  return await builder.build();
}
