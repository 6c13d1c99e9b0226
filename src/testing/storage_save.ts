/**
 * Cases for storages: saves, reads, retention, names.
 *
 * @module
 */

import { archive, type SnapshotReader, unarchive } from "../snapshot/mod.ts";
import { equal } from "../stream/mod.ts";
import { check, fails, same } from "./check.ts";
import { type AddCase, bytes, chunkMapOf, type MakeStorage, read, save, streamOf, write } from "./storage_kit.ts";

/** Adds the cases of saves, reads, retention and names. */
export function saveCases(add: AddCase, make: MakeStorage): void {
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

  add("the newest at or before an index or a time is opened", async (storage) => {
    for (const [index, createdAt] of [[3n, 1000], [7n, 3000]] as const) {
      const writer = await storage.create();
      await write(writer.file("state"), bytes(10, Number(index)));
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], createdAt });
    }
    const cases = [[3n, 3n], [6n, 3n], [7n, 7n], [99n, 7n], [1000, 3n], [2999, 3n], [3000, 7n], [
      Infinity,
      7n,
    ]] as const;
    for (const [at, index] of cases) {
      const reader = await storage.open({ at });
      same(reader.meta.lastIncludedIndex, index, `at or before ${at}`);
      await reader.close();
    }
    for (const at of [2n, 0n, 999, 0]) await fails(() => storage.open({ at }), "NOT_FOUND");
  });

  add("a file that is taken out of a snapshot is not in it, and its name is free", async (storage) => {
    const writer = await storage.create();
    await write(writer.file("whole"), bytes(300_000, 1));
    await writer.file("aborted").abort(new Error("no more"));
    const sink = writer.file("open").getWriter();
    sink.closed.catch(() => {});
    await sink.write(bytes(300_000, 2));
    for (const name of ["whole", "aborted", "open"]) await writer.remove(name);
    same(writer.files().length, 0, "files");
    await fails(() => writer.remove("whole"), "NOT_FOUND");
    await fails(() => sink.write(bytes(1, 1)).then(() => sink.close()), "CLOSED");
    await write(writer.file("open"), bytes(70_000, 3));
    same(writer.files().map(({ name }) => name).join(), "open", "files");
    same((await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] })).files, 1, "files");
    const reader = await storage.open();
    check(equal(await read(reader.file("open")), bytes(70_000, 3)), "the content is that of the last");
    check((await reader.verify().result).ok, "it verifies");
    await reader.close();
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
}
